"""The values that reading an article gives: Article, Section, Faq."""

from __future__ import annotations

import hashlib
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
    """An article's text without its FAQ; all offsets are characters into ``text``."""

    id: str
    title: str
    source: str
    text: str
    sections: tuple[Section, ...]
    faqs: tuple[Faq, ...] = ()

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 over title, text and FAQ: equal hashes mean nothing to do."""
        parts = [self.title, self.text, *(part for faq in self.faqs for part in (faq.question, faq.answer))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()
