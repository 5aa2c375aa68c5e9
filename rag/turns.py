"""First come, first served: many askers, one assistant. A waiting asker learns its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType

from corpus.errors import Stopped


class Turns:
    """A queue for something that serves one at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Turn] = []

    def take(self) -> Turn:
        """Return the next place in the queue; give it back by leaving its ``with`` block, served or not."""
        with self._changed:
            turn = Turn(self)
            self._waiting.append(turn)
            return turn


class Turn:
    """A place in a queue."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.left = False
        self.on_leaving: Callable[[], None] = lambda: None

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turns._changed:
            self._turns._waiting.remove(self)
            self._turns._changed.notify_all()

    def leave(self) -> None:
        """Give the place up, from another thread: ``places`` then raises Stopped, and ``on_leaving`` is called."""
        with self._turns._changed:
            self.left = True
            self._turns._changed.notify_all()
            if self in self._turns._waiting:  # else another is being served already
                self.on_leaving()

    def places(self) -> Iterator[int]:
        """Yield how many are before this one, each time that it changes; ends when there is none.

        Raises Stopped after ``leave``.
        """
        told = -1
        while (place := self._place_other_than(told)) > 0:
            yield place
            told = place

    def _place_other_than(self, told: int) -> int:
        """Wait until the place is another one, and return it."""
        with self._turns._changed:
            self._turns._changed.wait_for(lambda: self.left or self._turns._waiting.index(self) != told)
            if self.left:
                raise Stopped("the question was taken back")
            return self._turns._waiting.index(self)
