"""Articles -> cases: questions with what a right answer must hold, in slices.

``faq`` is every article's own FAQ. ``left out`` asks them of the other articles alone, where those do not
answer. The written slices (``questions.json``) are about the bundled articles and asked where all of them
are in the library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from corpus.article import Article
from corpus.errors import UsageError
from corpus.readers import bundled_articles, read_articles
from index.library import Library
from rag.check import numbers_in

_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]+")
_WRITTEN = Path(__file__).parent / "questions.json"
LEAK_WORDS = 8
"""Words in a row that a FAQ's answer and an indexed chunk may not share."""


class Gold(NamedTuple):
    """The paragraph ``text[start:end]`` of an article that is known to answer."""

    article_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Case:
    """A question of the examination; ``article_ids`` is empty where abstaining is right.

    ``previous`` are the conversation's questions before it; ``among`` restricts the search to these articles.
    ``spans`` are right answers word for word, and ``gold`` the paragraph that holds them, where those are known.
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
    gold: Gold | None = None

    @property
    def answerable(self) -> bool:
        """Whether an article answers the question."""
        return bool(self.article_ids)


def examination(library: Library, slices: Sequence[str] = (), limit: int | None = None) -> list[Case]:
    """Return the library's cases, of these slices or of all, at most ``limit`` of each slice.

    Raises UsageError if no article has a FAQ, or a slice has no cases here.
    """
    articles = [library.article(listing.id) for listing in library.listings()]
    if not any(article.faqs for article in articles):
        raise UsageError("no article in the library has a FAQ; add one that does with: rag add PATH")
    cases = [*faq_cases(articles), *left_out_cases(articles), *written_cases(articles)]
    if unknown := sorted(set(slices) - {case.slice for case in cases}):
        known = ", ".join(dict.fromkeys(case.slice for case in cases))
        raise UsageError(f"no cases of the slice {unknown[0]!r} here; there are: {known}")
    chosen = [case for case in cases if not slices or case.slice in slices]
    return list(_first_of_each(chosen, limit))


def _first_of_each(cases: Iterable[Case], limit: int | None) -> Iterable[Case]:
    taken: dict[str, int] = {}
    for case in cases:
        taken[case.slice] = taken.get(case.slice, 0) + 1
        if limit is None or taken[case.slice] <= limit:
            yield case


def faq_cases(articles: Sequence[Article]) -> list[Case]:
    """Return a case for each FAQ; a question that an article repeats is asked once."""
    cases: dict[tuple[str, str], Case] = {}
    for article in articles:
        for number, faq in enumerate(article.faqs, start=1):
            facts = key_facts(faq.answer, faq.question)
            case = Case(f"{article.id}/{number}", "faq", faq.question, faq.answer, (article.id,), facts)
            cases.setdefault((article.id, faq.question.casefold()), case)
    return list(cases.values())


def left_out_cases(articles: Sequence[Article]) -> list[Case]:
    """Return the FAQ questions whose key facts no other article has, to be asked of the others alone."""
    cases = []
    for case in faq_cases(articles):
        others = [article for article in articles if article.id not in case.article_ids]
        if case.facts and others and not any(_states(article.text, case.facts) for article in others):
            among = tuple(article.id for article in others)
            cases.append(Case(f"{case.id}/left-out", "left out", case.question, among=among))
    return cases


def _states(text: str, facts: Sequence[str]) -> bool:
    """Whether a text has any of these numbers or names."""
    numbers, lower = set(numbers_in(text)), text.lower()
    return any(fact in numbers if fact[0].isdigit() else fact.lower() in lower for fact in facts)


def written_cases(articles: Sequence[Article]) -> list[Case]:
    """Return the questions written for the bundled articles, if the library holds just those."""
    bundled = {article.id: article.content_hash for article in read_articles(bundled_articles())}
    if {article.id: article.content_hash for article in articles} != bundled:
        return []
    faqs = {case.id: case for case in faq_cases(articles)}
    written = json.loads(_WRITTEN.read_text(encoding="utf-8"))
    return [
        _written_case(f"{name}/{number}", name, fields, faqs)
        for name, questions in written.items()
        for number, fields in enumerate(questions, start=1)
    ]


def _written_case(identity: str, name: str, fields: dict[str, Any], faqs: dict[str, Case]) -> Case:
    if "faq" in fields:
        asked = faqs[fields["faq"]]
        return Case(identity, name, fields["question"], asked.reference, asked.article_ids, asked.facts)
    return Case(
        identity,
        name,
        fields["question"],
        fields.get("reference", ""),
        tuple(fields.get("articles", ())),
        tuple(part for fact in fields.get("facts", ()) for part in numbers_in(fact) or [fact]),
        tuple(fields.get("previous", ())),
    )


def key_facts(reference: str, question: str) -> tuple[str, ...]:
    """Return the numbers of a reference answer that the question does not give away; names if it has none."""
    numbers = [n for n in numbers_in(reference) if n not in numbers_in(question)]
    names = [name for name in _NAME.findall(reference) if name not in question]
    return tuple(dict.fromkeys(numbers or names))


def leaks(library: Library) -> list[str]:
    """Return the ids of the FAQ cases whose answer shares ``LEAK_WORDS`` words in a row with its article's body."""
    found = []
    for listing in library.listings():
        article = library.article(listing.id)
        body = _runs(article.text)
        found += [
            f"{article.id}/{n}" for n, faq in enumerate(article.faqs, start=1) if body & _runs(faq.answer)
        ]
    return found


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[start : start + LEAK_WORDS]) for start in range(len(words) - LEAK_WORDS + 1)}
