"""Sentence boundaries with character offsets; shared by chunking, evidence and the check."""

from __future__ import annotations

import re
from typing import NamedTuple

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s+[\"'“‘(\[$€£]*[A-Z0-9À-ÞА-Я•])|[。！？]+[」』”’）]*|\n+")
_MOST_ITEMS = 5
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|Inc|Ltd|Co|Corp|No|Nos|Fig|Vol|pp|ca|approx|cf|al|Gen|Sen|Rep|Gov"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)|\b(?:[A-Z]\.)*[A-Z]|\b(?:e\.g|i\.e|a\.m|p\.m))\.$"
)


class Span(NamedTuple):
    """The characters ``[start, end)`` of some text."""

    start: int
    end: int


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Return the sentences of ``text[start:end]`` as spans of ``text`` without surrounding white space."""
    end = len(text) if end is None else end
    spans: list[Span] = []
    begin = start
    for match in _END.finditer(text, start, end):
        if match.group()[0] == "." and _ABBREVIATION.search(
            text[max(begin, match.start() - 12) : match.start() + 1]
        ):
            continue
        _append(spans, text, begin, match.end())
        begin = match.end()
    _append(spans, text, begin, end)
    return spans


def statements(text: str) -> list[Span]:
    """Return the sentences that say something, as spans: no questions; one that announces a list takes its next items along."""
    spans = split_sentences(text)
    found = []
    for number, span in enumerate(spans):
        end = span.end
        if text[end - 1] == ":":
            following = spans[number + 1 : number + 1 + _MOST_ITEMS]
            items = [item for item in following if text[item.end - 1] not in "?:"]
            end = items[-1].end if items else end
        if text[end - 1] not in "?:":
            found.append(Span(span.start, end))
    return found


def _append(spans: list[Span], text: str, begin: int, end: int) -> None:
    piece = text[begin:end]
    stripped = piece.strip()
    if stripped:
        first = begin + piece.index(stripped)
        spans.append(Span(first, first + len(stripped)))
