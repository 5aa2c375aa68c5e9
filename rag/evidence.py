"""Passages -> their sentences, ranked as evidence for a question, with a calibrated confidence.

The signals are the embedder's cosine, the share of the question's words, and whether the sentence has the kind of
thing asked for. Their weights are fitted on public questions by ``python -m rag.training``.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index.embed import Vectors
from index.sentences import Span, split_sentences
from index.words import terms_of
from rag.answer import Passage, Quote
from rag.check import stem

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


SIGNALS = (
    "cosine",
    "overlap",
    "context",
    "fusion",
    "similarity",
    "has_kind",
    "lacks_kind",
    "unknown_names",
    "all_known",
)
"""The names of a sentence's signals, in the order of ``Candidate.signals``."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a passage with its signals."""

    passage: int
    quote: Quote
    signals: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a passage: its place in the article, the score that ranks it, a confidence in [0, 1]."""

    passage: int
    quote: Quote
    score: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Logistic:
    """A fitted logistic regression: a weight per signal, and the constant."""

    weights: tuple[float, ...]
    constant: float

    def logit(self, signals: Sequence[float]) -> float:
        """Return the log-odds."""
        return self.constant + sum(w * x for w, x in zip(self.weights, signals, strict=True))

    def probability(self, signals: Sequence[float]) -> float:
        """Return the probability, in [0, 1]."""
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, self.logit(signals)))))


@functools.cache
def _weights() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "weights" / "evidence.json").read_text())
    return found


def least_confidence() -> float:
    """Return the fitted threshold: below it the articles are taken not to answer."""
    return float(_weights()["threshold"])


@functools.cache
def fitted(name: str) -> Logistic:
    """Return the shipped fit: "rank" (is this sentence the answer) or "confidence" (is the first one right)."""
    fit = _weights()[name]
    return Logistic(tuple(fit["weights"][signal] for signal in SIGNALS), fit["constant"])


def rank_evidence(
    question: str, vector: Vectors, passages: Sequence[Passage], encode: Callable[[list[str]], Vectors]
) -> list[Evidence]:
    """Return the passages' sentences, best evidence for the question first."""
    rank, confidence = fitted("rank"), fitted("confidence")
    ranked = [
        Evidence(c.passage, c.quote, rank.logit(c.signals), confidence.probability(c.signals))
        for c in candidates(question, vector, passages, encode)
    ]
    return sorted(ranked, key=lambda evidence: -evidence.score)


def candidates(
    question: str, vector: Vectors, passages: Sequence[Passage], encode: Callable[[list[str]], Vectors]
) -> list[Candidate]:
    """Return the passages' sentences with their signals, in order."""
    spots = [
        (passage, span)
        for passage in passages
        for span in _statements(passage.text)
        if len(passage.text[span.start : span.end].split()) >= _SHORTEST_WORDS
    ]
    texts = [passage.text[span.start : span.end] for passage, span in spots]
    cosines = encode(texts) @ vector
    stems = [_stems(text) for text in texts]
    around = {p.number: _stems(f"{p.title} {p.heading} {p.text}") for p in passages}
    names = {stem(name) for match in _NAME.findall(question) for name in terms_of(match)}
    weight = _word_weights(_stems(question), names, stems)
    found = []
    for (passage, span), text, cosine, words in zip(spots, texts, cosines, stems, strict=True):
        nearby = around[passage.number]
        overlap = sum(w for word, w in weight.items() if word in words)
        context = sum(w for word, w in weight.items() if word in nearby)
        kind = _answers_kind(question, text)
        unknown = len(names - nearby)
        signals = (
            float(cosine),
            overlap,
            context,
            passage.score,
            passage.similarity,
            float(kind > 0),
            float(kind < 0),
            float(min(unknown, 3)),
            float(bool(names) and not unknown),
        )
        quote = Quote(passage.start + span.start, passage.start + span.end, text)
        found.append(Candidate(passage.number, quote, signals))
    return found


def _stems(text: str) -> set[str]:
    return {stem(term) for term in terms_of(text)}


def _word_weights(asked: set[str], names: set[str], stems: Sequence[set[str]]) -> dict[str, float]:
    """Return each asked word's share of the question: rare among the sentences counts more; shares add to 1."""
    counts = Counter(word for words in stems for word in words)
    weight = {word: math.log(1 + len(stems) / (1 + counts[word])) for word in asked}
    for word in asked - names - counts.keys():
        weight[word] *= _ABSENT_WORD  # "found" is said in other words more often than a name is
    whole = sum(weight.values()) or 1.0
    return {word: value / whole for word, value in weight.items()}


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
