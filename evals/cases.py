"""Cases: questions with what a right answer must hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rag.check import numbers_in

_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]+")


class Gold(NamedTuple):
    """The run ``text[start:end]`` of an article that is known, or taken by its words, to answer."""

    article_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Case:
    """A question of the examination; ``article_ids`` is empty where abstaining is right.

    ``previous`` are the conversation's questions before it; ``among`` restricts the search to these articles.
    ``gold`` is where the articles answer, ``spans`` are right answers word for word, where those are known.
    """

    id: str
    slice: str
    question: str
    reference: str = ""
    article_ids: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    gold: tuple[Gold, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether an article answers the question."""
        return bool(self.article_ids)


def key_facts(reference: str, question: str) -> tuple[str, ...]:
    """Return the numbers of a reference answer that the question does not give away; names if it has none."""
    numbers = [n for n in numbers_in(reference) if n not in numbers_in(question)]
    names = [name for name in _NAME.findall(reference) if name not in question]
    return tuple(dict.fromkeys(numbers or names))


def states_any(text: str, facts: Sequence[str]) -> bool:
    """Whether a text has any of these numbers or names."""
    numbers, lower = set(numbers_in(text)), text.lower()
    return any(fact in numbers if fact[0].isdigit() else fact.lower() in lower for fact in facts)
