"""Ranked evidence -> the few sentences that an answer is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from index.sentences import split_sentences
from rag.answer import Passage, Quote
from rag.check import amounts_in, stems_of, supports
from rag.evidence import Evidence
from rag.logistic import joining_odds, least_confidence, probability_of

MOST_SENTENCES = 3
_CONSIDERED = 10
_AMOUNT_WORDS = 5
_LEANS = re.compile(
    r"[\"'“‘(]*(?:It|Its|They|Their|He|His|She|Her|This|That|These|Those|Both)(?:['’]s\b|(?= [a-z]))"
    r"(?! (?:said|year|month|week|spring|summer|autumn|winter)\b)"
)
_LONGEST_ANTECEDENT = 240  # characters
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_TIME_CLAUSE = re.compile(
    r"(?<=\w )(?:when|while|before|after|since|until|by the time|at the time)\b(.*)", re.I
)


class Selection(NamedTuple):
    """The sentences that an answer is made of, and whether they are two sides of a conflict."""

    evidence: list[Evidence]
    conflict: bool


def best_evidence(
    question: str, evidence: Sequence[Evidence], passages: Sequence[Passage], joining: float | None = None
) -> Selection:
    """Return the first sentence, with one of another article that contradicts it or such as are likely to answer and say more.

    Those have log-odds of ``joining`` at least, by default the fitted ones. Empty if there is no evidence, or the first
    is below the threshold of abstaining.
    """
    least = joining_odds() if joining is None else joining
    best = [e for e in evidence[:1] if e.confidence >= least_confidence()]
    if not best:
        return Selection([], False)
    others = evidence[1:_CONSIDERED]
    likely = (e for e in others if e.confidence >= least_confidence() or e.score >= least)
    opposed = next((e for e in likely if opposes(question, e, best[0], passages)), None)
    if opposed is not None:
        return Selection([best[0], _second_to(best[0], opposed)], True)
    for candidate in others:
        if candidate.score >= least and not any(_repeats(candidate, chosen) for chosen in best):
            best.append(_second_to(best[0], candidate))
        if len(best) == MOST_SENTENCES:
            break
    return Selection(best, False)


def _second_to(first: Evidence, further: Evidence) -> Evidence:
    """Give a further sentence a confidence: its own is that of the best sentence there is, which it is not."""
    return replace(further, confidence=first.confidence * probability_of(further.score))


def with_antecedents(best: Sequence[Evidence], passages: Sequence[Passage]) -> list[Evidence]:
    """Return the evidence, each quote that begins with "it", "they" and the like together with the sentence before it.

    So a quote by itself tells whom it speaks of. Only within a paragraph, and not if that sentence is quoted too.
    """
    return [_led(e, passages[e.passage - 1], [o.quote for o in best if o.passage == e.passage]) for e in best]


def _led(evidence: Evidence, passage: Passage, quoted: Sequence[Quote]) -> Evidence:
    quote = evidence.quote
    if not _LEANS.match(quote.text):
        return evidence
    before = [span for span in split_sentences(passage.text) if passage.start + span.end <= quote.start]
    if not before:
        return evidence
    start, end = (passage.start + offset for offset in before[-1])
    between = passage.text[before[-1].end : quote.start - passage.start]
    told = any(other.start < end and start < other.end for other in quoted)
    if told or "\n" in between or end - start > _LONGEST_ANTECEDENT:
        return evidence
    text = passage.text[before[-1].start : quote.end - passage.start]
    return replace(evidence, quote=Quote(start, quote.end, text), antecedent=quote.start - start)


def opposes(question: str, candidate: Evidence, chosen: Evidence, passages: Sequence[Passage]) -> bool:
    """Whether another article answers with another amount of the same kind, and speaks as much of what is asked."""
    article, other = (passages[e.passage - 1].article_id for e in (candidate, chosen))
    if article == other or candidate.answer is None or chosen.answer is None:
        return False
    asked = stems_of(question)
    here, there = (asked & stems_of(e.quote.text) for e in (candidate, chosen))
    if (
        2 * len(here) < len(asked)
        or len(here) + 1 < len(there)
        or _of_another_time(question, candidate, chosen)
    ):
        return False
    if any(len(e.answer.text.split()) > _AMOUNT_WORDS for e in (candidate, chosen) if e.answer):
        return False  # an answer that only mentions an amount
    first, second = amounts_in(candidate.answer.text), amounts_in(chosen.answer.text)
    kinds = [{kind for _, kind in amounts} for amounts in (first, second)]
    return bool(first and second) and not first & second and kinds[0] == kinds[1]


def _of_another_time(question: str, candidate: Evidence, chosen: Evidence) -> bool:
    """Whether the quotes name other years, or the candidate says nothing of the time that the question names."""
    clause = _TIME_CLAUSE.search(question)
    if clause and not stems_of(clause[1]) <= stems_of(candidate.quote.text):
        return True
    here, there = (_years(e) for e in (candidate, chosen))
    return bool(here and there) and not here & there


def _years(evidence: Evidence) -> set[str]:
    """The years that a quote names, besides those that it answers with."""
    answer = evidence.answer.text if evidence.answer else ""
    return set(_YEAR.findall(evidence.quote.text)) - set(_YEAR.findall(answer))


def _repeats(candidate: Evidence, chosen: Evidence) -> bool:
    """Whether a quote says what another one says, has the same answer, or shares characters with it."""
    one, other = candidate.quote, chosen.quote
    overlaps = one.start < other.end and other.start < one.end and candidate.passage == chosen.passage
    answered = candidate.answer is not None and stems_of(candidate.answer.text) <= stems_of(other.text)
    return overlaps or answered or supports(other.text, one.text)
