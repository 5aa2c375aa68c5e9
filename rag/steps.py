"""What the assistant does while an answer is awaited, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["searching", "reading", "loading", "prefilling", "writing"]
"""The reader reads passages; the model is loaded once, reads its prompt (prefill), and writes."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stage and how many passages or tokens of it are done; ``total`` is 0 where nothing is counted."""

    stage: Stage
    done: int = 0
    total: int = 0


Tell = Callable[[Step], None]
"""Told each step as it begins; what it raises ends the answer."""
