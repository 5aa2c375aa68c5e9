"""The values that reading an article gives: Article, Section, Faq."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faq:
    """A question that the article's author asks and answers; kept out of the index."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Section:
    """The run ``text[start:end]`` of an article under one heading ("" before the first)."""

    heading: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Article:
    """An article's text without its FAQ; all offsets are characters into ``text``.

    ``source`` is the path or URL it was read from; ``url`` the address that it names as its own. ``date`` is
    ISO 8601. ``source_digest`` tells whether the source must be read again.
    """

    id: str
    title: str
    source: str
    text: str
    sections: tuple[Section, ...]
    faqs: tuple[Faq, ...] = ()
    author: str = ""
    date: str = ""
    url: str = ""
    source_digest: str = ""

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 over what is stored: equal hashes mean nothing to do."""
        parts = [self.title, self.author, self.date, self.url, self.text]
        parts += [json.dumps([[s.heading, s.start, s.end] for s in self.sections])]
        parts += [part for faq in self.faqs for part in (faq.question, faq.answer)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()
