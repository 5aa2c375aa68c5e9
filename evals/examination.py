"""A library -> its cases, in slices.

``faq`` is every article's own FAQ. ``left out`` asks them of the other articles alone, where those do not answer.
``feedback`` is what people marked and corrected. The rest are written: for the bundled articles in
``questions.json``, for others in a file of the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from corpus.article import Article
from corpus.errors import UsageError
from corpus.readers import bundled_articles, read_articles
from evals.cases import Case, key_facts, states_any
from evals.feedback import FEEDBACK, as_questions
from evals.labels import evidence_for
from evals.written import BUNDLED, Written, read_written, written_cases
from index.library import Library

LEAK_WORDS = 8
"""Words in a row that a FAQ's answer and an indexed chunk may not share."""


def examination(
    library: Library, slices: Sequence[str] = (), limit: int | None = None, written: Path | None = None
) -> list[Case]:
    """Return the library's cases, of these slices or of all, at most ``limit`` of each slice.

    ``written`` is a file of the user's with further questions, and with what overrules the labels. Raises
    UsageError if there are no cases, a slice has none, or the file is not of that form.
    """
    articles = [library.article(listing.id) for listing in library.listings()]
    own = read_written(written) if written else Written({}, {})
    faq = _overruled(faq_cases(library, articles), own.answerable, written)
    cases = [*faq, *left_out_cases(faq, articles)]
    if is_bundled(library):
        cases += written_cases(read_written(BUNDLED), faq, library)
    cases += written_cases(Written({FEEDBACK: as_questions(library.feedback())}, {}), faq, library)
    cases += written_cases(own, faq, library)
    if not cases:
        raise UsageError(
            "no article in the library has a FAQ; add one that does with: rag add PATH, or questions with --cases"
        )
    if unknown := sorted(set(slices) - {case.slice for case in cases}):
        known = ", ".join(dict.fromkeys(case.slice for case in cases))
        raise UsageError(f"no cases of the slice {unknown[0]!r} here; there are: {known}")
    return list(_first_of_each([case for case in cases if not slices or case.slice in slices], limit))


def _first_of_each(cases: Iterable[Case], limit: int | None) -> Iterable[Case]:
    taken: dict[str, int] = {}
    for case in cases:
        taken[case.slice] = taken.get(case.slice, 0) + 1
        if limit is None or taken[case.slice] <= limit:
            yield case


def is_bundled(library: Library) -> bool:
    """Whether the library has the bundled articles, unchanged, and no others: the shipped figures are of those."""
    bundled = {article.id: article.content_hash for article in read_articles(bundled_articles())}
    return {listing.id for listing in library.listings()} == set(bundled) and all(
        library.article(article_id).content_hash == digest for article_id, digest in bundled.items()
    )


def _overruled(cases: list[Case], answerable: Mapping[str, bool], written: Path | None) -> list[Case]:
    """Apply a person's word on which FAQ cases the articles answer."""
    if unknown := sorted(set(answerable) - {case.id for case in cases}):
        raise UsageError(f"{written}: no FAQ case {unknown[0]!r} here; rag eval --json shows the ids")
    return [
        case
        if answerable.get(case.id, case.answerable) == case.answerable
        else replace(case, article_ids=() if case.answerable else (article_of(case),), gold=())
        for case in cases
    ]


def article_of(faq: Case) -> str:
    """Return the id of the article whose FAQ a case is from."""
    return faq.id.rpartition("/")[0]


def faq_cases(library: Library, articles: Sequence[Article]) -> list[Case]:
    """Return a case for each FAQ, labelled by evidence; a question that an article repeats is asked once."""
    cases: dict[tuple[str, str], Case] = {}
    for article in articles:
        for number, faq in enumerate(article.faqs, start=1):
            facts = key_facts(faq.answer, faq.question)
            gold = evidence_for(library, faq.question, faq.answer, facts, article.id)
            among = tuple(dict.fromkeys(found.article_id for found in gold))
            case = Case(f"{article.id}/{number}", "faq", faq.question, faq.answer, among, facts, gold=gold)
            cases.setdefault((article.id, faq.question.casefold()), case)
    return list(cases.values())


def left_out_cases(faq: Sequence[Case], articles: Sequence[Article]) -> list[Case]:
    """Return the FAQ questions that one article alone answers and whose key facts no other has, for the others."""
    cases = []
    for case in faq:
        others = [article for article in articles if article.id != article_of(case)]
        alone = not case.article_ids or case.article_ids == (article_of(case),)
        stated = any(states_any(other.text, case.facts) for other in others)
        if alone and case.facts and others and not stated:
            among = tuple(other.id for other in others)
            cases.append(Case(f"{case.id}/left-out", "left out", case.question, among=among))
    return cases


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
