"""What the last answers took, for the About tab; no question and no answer is kept, only times and counts."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from rag.answer import Answer, Timings


class Entry(NamedTuple):
    """One answer: when it was whole (seconds since 1970), how it ended and what it took."""

    at: float
    status: str
    timings: Timings

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens written in each second after the search, reading them included; None where none were written."""
        seconds = (self.timings.total_ms - self.timings.retrieve_ms) / 1000
        return (
            self.timings.completion_tokens / seconds
            if self.timings.completion_tokens and seconds > 0
            else None
        )


class AnswerLog:
    """The last answers; from any thread."""

    def __init__(self, most: int = 20) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=most)

    def add(self, answer: Answer) -> None:
        """Note an answer; the oldest one is forgotten."""
        with self._lock:
            self._entries.append(Entry(time.time(), answer.status, answer.timings))

    def entries(self) -> list[Entry]:
        """Return what is noted, the newest first."""
        with self._lock:
            return list(reversed(self._entries))
