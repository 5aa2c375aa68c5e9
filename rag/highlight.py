"""A passage as HTML, its quotes marked; all text is escaped."""

from __future__ import annotations

from html import escape

from rag.answer import Passage


def highlighted(passage: Passage) -> str:
    """Return the passage's text with each quote inside ``<mark>``."""
    parts, done = [], 0
    for quote in sorted(passage.quotes, key=lambda quote: quote.start):
        start, end = quote.start - passage.start, quote.end - passage.start
        parts += [escape(passage.text[done:start]), f"<mark>{escape(passage.text[start:end])}</mark>"]
        done = end
    return "".join([*parts, escape(passage.text[done:])])
