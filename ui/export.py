"""A conversation as Markdown with footnotes, an answer as text: for what people take away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.answer import Answer, Passage, Quote
from rag.prompt import REFUSAL
from ui.exchange import Exchange
from ui.reading import place_of

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!$&])")
_LINE_START = re.compile(r"^(\d*)([-+=:.)])")
_ADDRESS = re.compile(r"(https?|ftp|mailto|www)([:.])", re.IGNORECASE)


def quote_behind(answer: Answer, place: int) -> tuple[Passage, Quote] | None:
    """Return the passage and the quote that back the sentence at ``place``; None if the answer has none.

    A passage lists its quotes in the order of the sentences that cite it.
    """
    cited = answer.sentences[place].citations
    if not cited:
        return None
    earlier = sum(cited[0] in sentence.citations for sentence in answer.sentences[:place])
    for passage in answer.passages:
        if passage.number == cited[0] and earlier < len(passage.quotes):
            return passage, passage.quotes[earlier]
    return None


def answer_text(answer: Answer) -> str:
    """Return an answer and its sources as plain text."""
    if answer.status == "abstained":
        return REFUSAL
    lines = [" ".join(sentence.with_markers for sentence in answer.sentences), ""]
    for passage in answer.passages:
        lines += [f'[{passage.number}] {passage.place}: "{quote.text}"' for quote in passage.quotes]
    return "\n".join(lines)


def conversation_markdown(title: str, exchanges: Sequence[Exchange]) -> str:
    """Return a conversation as Markdown, a footnote for each quote; no text of it becomes markup or a link."""
    body: list[str] = [f"# {_escaped(title)}", ""]
    notes: list[str] = []
    for exchange in exchanges:
        body += [f"## {_escaped(exchange.question)}", "", *_answer(exchange, notes), ""]
    return "\n".join([*body, *notes]).rstrip() + "\n"


def _answer(exchange: Exchange, notes: list[str]) -> Iterator[str]:
    answer = exchange.answer
    if answer is None:
        yield _escaped(exchange.error) or f"{_escaped(' '.join(exchange.said))} *(stopped)*".strip()
        return
    if answer.standalone_question != answer.question:
        yield f"*Asked as: {_escaped(answer.standalone_question)}*\n"
    if answer.status == "abstained":
        yield _escaped(REFUSAL)
        return
    if answer.conflict:
        yield "*The articles do not agree.*\n"
    parts = []
    for place, sentence in enumerate(answer.sentences):
        mark = ""
        if behind := quote_behind(answer, place):
            passage, quote = behind
            mark = f"[^{len(notes) + 1}]"
            where = f"{_escaped(passage.place)} ({_escaped(place_of(passage.source))})"
            notes.append(f"{mark}: {where}: “{_escaped(quote.text)}”")
        parts.append(_escaped(sentence.text) + mark)
    yield " ".join(parts)


def _escaped(value: str) -> str:
    """Return text on one line that Markdown shows as it stands."""
    line = _MARKDOWN.sub(r"\\\1", " ".join(value.split()))
    return _LINE_START.sub(r"\1\\\2", _ADDRESS.sub(r"\1\\\2", line))
