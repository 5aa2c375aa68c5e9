"""Each article's FAQ -> cases: a question, its reference answer and the facts an answer must have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from corpus.errors import UsageError
from index.library import Library
from rag.check import numbers_in

_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]+")
OUT_OF_SCOPE = (
    "Who designed the Eiffel Tower?",
    "What is the boiling point of water at sea level?",
    "How many moons does Jupiter have?",
    "Who won the football World Cup in 1998?",
    "What is the recipe for sourdough bread?",
    "How much did Nvidia pay for Mellanox?",
    "When was the Great Wall of China built?",
    "What did Apple charge for the first iPhone?",
)
"""Questions that no article on the bundled subject answers; they measure abstention."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question of the examination; ``article_id`` is empty where abstaining is right."""

    id: str
    question: str
    reference: str = ""
    article_id: str = ""
    facts: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether an article answers the question."""
        return bool(self.article_id)


def faq_cases(library: Library, limit: int | None = None) -> list[Case]:
    """Return a case per FAQ of the library's articles, then the out-of-scope ones.

    Raises UsageError if no article has a FAQ.
    """
    cases = [
        Case(f"{listing.id}/{n}", faq.question, faq.answer, listing.id, key_facts(faq.answer, faq.question))
        for listing in library.listings()
        for n, faq in enumerate(library.article(listing.id).faqs, start=1)
    ]
    if not cases:
        raise UsageError("no article in the library has a FAQ; add one that does with: rag add PATH")
    outside = [Case(f"out-of-scope/{n}", question) for n, question in enumerate(OUT_OF_SCOPE, start=1)]
    return (cases + outside)[:limit]


def key_facts(reference: str, question: str) -> tuple[str, ...]:
    """Return the numbers of a reference answer that the question does not give away; names if it has none."""
    numbers = [n for n in numbers_in(reference) if n not in numbers_in(question)]
    names = [name for name in _NAME.findall(reference) if name not in question]
    return tuple(dict.fromkeys(numbers or names))
