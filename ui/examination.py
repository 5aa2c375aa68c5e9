"""The examination as a page runs it: in a thread of its own, one question a turn, seen by all who look.

It is what ``rag eval`` does, on the assistant that people are asking meanwhile. Knows nothing about Gradio.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from corpus.errors import RagError, Stopped
from rag.turns import Turns

if TYPE_CHECKING:
    from evals.cases import Case
    from evals.trial import Trial
    from rag.assistant import Assistant

Phase = Literal["new", "preparing", "running", "done", "stopped", "failed"]
UNDER_WAY = ("preparing", "running")


@dataclass(frozen=True, slots=True)
class State:
    """How far an examination is: its trials so far, of ``total`` cases; ``before`` others wait or are answered first."""

    phase: Phase = "new"
    trials: tuple[Trial, ...] = ()
    total: int = 0
    before: int = 0
    leaked: tuple[str, ...] = ()
    error: str = ""


class Examination:
    """One examination at a time of one assistant; started, stopped and watched from any thread."""

    def __init__(self, assistant_of: Callable[[], Assistant], turns: Turns, keep: Path | None = None) -> None:
        """Prepare; ``assistant_of`` may be slow the first time, ``keep`` is where a stopped run is kept to go on."""
        self._assistant_of = assistant_of
        self._turns = turns
        self._keep = keep
        self._changed = threading.Condition()
        self._state = State()
        self._stopping = threading.Event()
        self._answering: Assistant | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        with self._changed:
            return self._state

    def start(self, limit: int | None = None) -> bool:
        """Begin, with at most ``limit`` questions of each kind; returns False if one is under way."""
        with self._changed:
            if self._state.phase in UNDER_WAY:
                return False
            self._stopping.clear()
            self._state = State("preparing")
            self._changed.notify_all()
        threading.Thread(target=self._run, args=(limit,), daemon=True, name="examination").start()
        return True

    def stop(self) -> None:
        """End it now; what was answered so far stays."""
        self._stopping.set()
        with self._changed:
            if self._answering is not None:
                self._answering.stop()  # only while the assistant answers to the examination

    def states(self, seconds: float = 1.0) -> Iterator[State]:
        """Yield the state, then each other that it takes while under way, at most one in ``seconds / 4``."""
        told = self.state
        yield told
        while told.phase in UNDER_WAY:
            with self._changed:
                self._changed.wait_for(lambda told=told: self._state is not told, seconds)  # type: ignore[misc]
                told = self._state
            yield told
            self._stopping.wait(seconds / 4)

    def _set(self, state: State) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def _run(self, limit: int | None) -> None:
        try:
            self._examine(limit)
        except Stopped:
            self._set(replace(self.state, phase="stopped", before=0))
        except RagError as error:
            self._set(replace(self.state, phase="failed", error=str(error)))
        except Exception as error:  # a thread has nobody above it to tell
            self._set(replace(self.state, phase="failed", error=f"{type(error).__name__}: {error}"))
            raise

    def _examine(self, limit: int | None) -> None:
        from evals.examination import examination, leaks
        from evals.run import trials_of

        assistant = self._assistant_of()
        with self._turn():
            cases = examination(assistant.library, limit=limit)
            leaked = tuple(leaks(assistant.library))
        self._set(State("running", total=len(cases), leaked=leaked))
        turn = lambda: self._turn(assistant)  # noqa: E731
        with contextlib.closing(trials_of(assistant, cases, self._keep, turn=turn)) as trials:
            for trial in trials:
                self._set(replace(self.state, trials=(*self.state.trials, trial), before=0))
        self._set(replace(self.state, phase="done", trials=_in_order(self.state.trials, cases)))

    @contextlib.contextmanager
    def _turn(self, answering: Assistant | None = None) -> Iterator[None]:
        """Wait for the askers that came before, for one question; raises Stopped once it is to stop."""
        with self._turns.take() as turn:
            for before in turn.places():
                self._set(replace(self.state, before=before))
            with self._changed:
                if self._stopping.is_set():
                    raise Stopped("the examination was stopped")
                self._answering = answering
            try:
                yield
            finally:
                with self._changed:
                    self._answering = None


def _in_order(trials: tuple[Trial, ...], cases: list[Case]) -> tuple[Trial, ...]:
    place = {case.id: number for number, case in enumerate(cases)}
    return tuple(sorted(trials, key=lambda trial: place[trial.case.id]))
