"""An Answer as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from rag.answer import Answer
from rag.prompt import REFUSAL


def answer_lines(answer: Answer) -> Iterator[str]:
    """Yield what follows an answer's sentences: its sources, or the refusal and the nearest passages."""
    if answer.status == "abstained":
        yield REFUSAL
        yield from (f"  nearest: {passage.place}" for passage in answer.passages[:3])
        return
    yield ""
    for passage in answer.passages:
        if passage.cited:
            yield f"[{passage.number}] {passage.place}"
            yield from (f'    "{quote.text}"' for quote in passage.quotes)
