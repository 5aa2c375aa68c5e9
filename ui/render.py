"""Answers and search results as lines of text, or as values for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rag.answer import Answer
from rag.prompt import REFUSAL
from rag.retrieve import Found


def answer_lines(answer: Answer) -> Iterator[str]:
    """Yield what follows an answer's sentences: its sources, or the refusal and the nearest passages."""
    if answer.status == "abstained":
        yield REFUSAL
        yield from (f"  nearest: {passage.place}" for passage in answer.passages[:3])
        return
    if answer.conflict:
        yield "The articles do not agree: each side is shown with its source."
    yield ""
    for passage in answer.passages:
        if passage.cited:
            yield f"[{passage.number}] {passage.place}"
            yield from (f'    "{quote.text}"' for quote in passage.quotes)


def found_lines(found: Sequence[Found], question: str) -> Iterator[str]:
    """Yield the found chunks, best first, each with why it was found."""
    for rank, one in enumerate(found, start=1):
        chunk = one.chunk
        yield f"{rank}  {' > '.join(part for part in (chunk.title, chunk.heading) if part)}"
        read = f"; read {one.read[0].relevance:+.1f}" if one.read else ""
        yield f"   score {one.score:.3f}; {_place('by meaning', one.dense)}; {_place('by words', one.words)}{read}"
        yield f"   words: {', '.join(one.matched(question)) or 'none'}"
        yield textwrap.fill(chunk.text, 100, initial_indent="   ", subsequent_indent="   ")


def _place(how: str, place: tuple[int, float] | None) -> str:
    return f"{how} {place[0]} ({place[1]:.2f})" if place else f"{how} not among the first"


def found_values(found: Sequence[Found], question: str) -> list[dict[str, Any]]:
    """Return the found chunks as JSON has them; ranks are null where that search did not find the chunk."""
    return [
        {
            "rank": rank,
            "article_id": one.chunk.article_id,
            "title": one.chunk.title,
            "heading": one.chunk.heading,
            "start": one.chunk.start,
            "end": one.chunk.end,
            "text": one.chunk.text,
            "score": one.score,
            "dense_rank": one.dense[0] if one.dense else None,
            "dense_score": round(one.dense[1], 4) if one.dense else None,
            "words_rank": one.words[0] if one.words else None,
            "words_score": round(one.words[1], 4) if one.words else None,
            "reader_score": round(one.read[0].relevance, 4) if one.read else None,
            "matched_words": one.matched(question),
        }
        for rank, one in enumerate(found, start=1)
    ]
