"""A question from the page: its place in the queue, what is being done, each checked sentence, the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from corpus.errors import RagError, Stopped, UsageError
from rag.answer import Answer, Sentence
from rag.steps import Step
from rag.turns import Turn
from ui.conversation import exchange_html, sentence_html
from ui.exchange import Exchange, as_value
from ui.service import Service

Event = dict[str, Any]
"""What the page is told: one of ``stage``, ``sentence`` or, last, ``exchange``."""

_LOADING = "Loading the model"


class Desk:
    """Takes questions; the assistant answers them one at a time, first come, first served."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: dict[str, Turn] = {}

    def stop(self, key: str) -> None:
        """Take a question back, wherever it stands; one that is not there has been answered."""
        if (turn := self._open.get(key)) is not None:
            turn.leave()

    def ask(
        self, key: str, question: str, previous: Sequence[str], left_out: Sequence[str]
    ) -> Iterator[Event]:
        """Yield what happens to a question until it is answered, stopped or failed."""
        said: list[Sentence] = []
        try:
            with self._turn(key) as turn:
                for before in turn.places():
                    yield {"stage": f"{before} before you in the queue"}
                if not self._service.ready:
                    yield {"stage": _LOADING}
                for value in self._answering(turn, question, previous, left_out):
                    if isinstance(value, Answer):
                        self._service.answers.add(value)
                        yield _last(Exchange(key, value.question, value))
                    elif isinstance(value, Sentence):
                        said.append(value)
                        yield {"sentence": sentence_html(value)}
                    else:
                        yield {"stage": step_text(value)}
        except Stopped:
            yield _last(Exchange(key, question, said=tuple(sentence.text for sentence in said)))
        except RagError as error:
            yield _last(Exchange(key, question, error=str(error)))

    @contextmanager
    def _turn(self, key: str) -> Iterator[Turn]:
        if key in self._open:
            raise UsageError("this question is being answered already; wait for it, or stop it first")
        with self._service.turns.take() as turn:
            self._open[key] = turn
            try:
                yield turn
            finally:
                del self._open[key]

    def _answering(
        self, turn: Turn, question: str, previous: Sequence[str], left_out: Sequence[str]
    ) -> Iterator[Step | Sentence | Answer]:
        """Run the assistant in a thread of its own, so that its steps are told while they last."""
        assistant = self._service.assistant()
        chosen = chosen_ids(self._service, left_out)
        turn.on_leaving = assistant.stop
        told: SimpleQueue[Step | Sentence | Answer | BaseException | None] = SimpleQueue()

        def tell(step: Step) -> None:
            if turn.left:  # asked to stop before the assistant could hear it
                raise Stopped("the answer was stopped")
            told.put(step)

        def run() -> None:
            try:
                for value in assistant.stream(question, previous=previous, article_ids=chosen, tell=tell):
                    told.put(value)
            except Exception as error:  # raised again where it is waited for
                told.put(error)
            told.put(None)

        thread = threading.Thread(target=run, name="answer")
        thread.start()
        try:
            yield from _until_none(told)
        finally:
            turn.leave()
            thread.join()


def _until_none(
    told: SimpleQueue[Step | Sentence | Answer | BaseException | None],
) -> Iterator[Step | Sentence | Answer]:
    while (value := told.get()) is not None:
        if isinstance(value, BaseException):
            raise value
        yield value


def step_text(step: Step) -> str:
    """Return what a person is told of a step, as in "Reading 3 of 10 passages"."""
    counted = f"{step.done:,} of {step.total:,}" if step.done else f"{step.total:,}"
    several = "s" * (step.total != 1)
    match step.stage:
        case "searching":
            return "Searching the articles"
        case "reading":
            return f"Reading {counted} passage{several}"
        case "loading":
            return _LOADING
        case "prefilling":
            return (
                f"The model reads {counted} token{several}"
                if step.total
                else "The model reads the best quotes"
            )
        case "writing":
            return "Writing, and checking each sentence"


def chosen_ids(service: Service, left_out: Sequence[str]) -> tuple[str, ...]:
    """Return the articles to answer from, () for all; raises UsageError if there are none."""
    with service.library() as library:
        ids = [listing.id for listing in library.listings()]
    if not ids:
        raise UsageError("the library is empty; add an article on the left, then ask again")
    out = set(left_out)
    chosen = tuple(one for one in ids if one not in out)
    if not chosen:
        raise UsageError("all articles are left out; tick at least one on the left, then ask again")
    return () if len(chosen) == len(ids) else chosen


def _last(exchange: Exchange) -> Event:
    return {"exchange": as_value(exchange), "html": exchange_html(exchange)}
