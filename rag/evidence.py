"""Passages -> their sentences, ranked as evidence for a question.

Works without trained weights: cosine of the embedder, the share of the question's words, and whether the sentence has the kind of thing asked for."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from index.embed import Vectors
from index.sentences import Span, split_sentences
from index.words import terms_of
from rag.answer import Passage, Quote
from rag.check import stem

LEAST_CONFIDENCE = 0.5
"""Below this the articles are taken not to answer."""
_SHORTEST_WORDS = 4
_MOST_ITEMS = 5
_ABSENT_WORD = 0.3
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|dozens?|hundreds?|thousands?)\b", re.I
)
_TIME = re.compile(
    r"\b(?:1[5-9]|20)\d\d\b|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
_ASKS_AMOUNT = re.compile(
    r"\bhow (?:much|many|old|large|big|long|far)\b|\bwhat (?:percent|percentage|share|score)\b", re.I
)
_ASKS_TIME = re.compile(r"\bwhen\b|\bwhat (?:date|year|month)\b|\bwhich (?:year|month)\b", re.I)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w-]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a passage: its place in the article, the score that ranks it, a confidence in [0, 1]."""

    passage: int
    quote: Quote
    score: float
    confidence: float


def rank_evidence(
    question: str, vector: Vectors, passages: Sequence[Passage], encode: Callable[[list[str]], Vectors]
) -> list[Evidence]:
    """Return the passages' sentences, best evidence for the question first."""
    spots = [
        (passage, span)
        for passage in passages
        for span in _statements(passage.text)
        if len(passage.text[span.start : span.end].split()) >= _SHORTEST_WORDS
    ]
    texts = [passage.text[span.start : span.end] for passage, span in spots]
    cosines = [float(cosine) for cosine in encode(texts) @ vector]
    asked = {stem(term) for term in terms_of(question)}
    stems = [{stem(term) for term in terms_of(text)} for text in texts]
    placed = [
        {stem(term) for term in terms_of(f"{passage.title} {passage.heading} {passage.text}")}
        for passage, _ in spots
    ]
    counts = Counter(word for words in stems for word in words)
    names = {stem(name) for match in _NAME.findall(question) for name in terms_of(match)}
    weight = {word: math.log(1 + len(texts) / (1 + counts[word])) for word in asked}
    for word in asked - names - counts.keys():
        weight[word] *= _ABSENT_WORD  # "found" is said in other words more often than a name is
    whole = sum(weight.values()) or 1.0
    ranked = []
    for (passage, span), text, cosine, words, around in zip(
        spots, texts, cosines, stems, placed, strict=True
    ):
        overlap = sum(weight[word] for word in asked & words) / whole
        context = sum(weight[word] for word in asked & around) / whole
        kind = _answers_kind(question, text)
        confidence = _confidence(cosine, context, kind, len(names - around))
        score = cosine + 0.5 * overlap + 0.15 * passage.score + 0.3 * kind + 0.6 * confidence
        quote = Quote(passage.start + span.start, passage.start + span.end, text)
        ranked.append(Evidence(passage.number, quote, score, confidence))
    return sorted(ranked, key=lambda evidence: -evidence.score)


def _statements(text: str) -> list[Span]:
    """The sentences of a passage; one that announces a list takes the list's next items with it."""
    spans = split_sentences(text)
    statements = []
    for number, span in enumerate(spans):
        end = span.end
        if text[end - 1] == ":":
            items = [
                item
                for item in spans[number + 1 : number + 1 + _MOST_ITEMS]
                if text[item.end - 1] not in "?:"
            ]
            end = items[-1].end if items else end
        if text[end - 1] not in "?:":
            statements.append(Span(span.start, end))
    return statements


def _answers_kind(question: str, sentence: str) -> float:
    """1 if the sentence has the amount or time asked for, -1 if it lacks it, 0 if neither is asked."""
    if _ASKS_AMOUNT.search(question):
        return 1.0 if _NUMBER.search(sentence) else -1.0
    if _ASKS_TIME.search(question):
        return 1.0 if _TIME.search(sentence) else -1.0
    return 0.0


def _confidence(cosine: float, context: float, kind: float, unknown: int) -> float:
    logit = 7.0 * (cosine - 0.45) + 4.0 * (context - 0.55) + 0.6 * min(kind, 0.0) - 1.2 * unknown
    return 1.0 / (1.0 + math.exp(-logit))
