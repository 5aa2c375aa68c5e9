"""Passages -> their sentences, ranked as evidence for a question, with a calibrated confidence.

The signals are what the reader makes of a sentence, the share of the question's words, what ranks its passage, and whether
it has the kind of thing asked for. Their weights are fitted on public questions by ``python -m rag.training fit``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from index.sentences import statements
from index.words import terms_of
from rag.answer import Passage, Quote
from rag.check import stem, stems_of
from rag.logistic import Logistic, fitted
from rag.reader import ReadSentence
from rag.retrieve import Retrieved

_SHORTEST_WORDS = 4
_NOT_READ = (0.0, 0.0, 0.0)
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
    "overlap",
    "context",
    "fusion",
    "similarity",
    "has_kind",
    "lacks_kind",
    "unknown_names",
    "all_known",
    "relevance",
    "sentence",
    "answer",
    "relevance_share",
    "sentence_share",
    "agreeing",
)
"""The names of a sentence's signals, in the order of ``Candidate.signals``.

A share is the logarithm of a probability, among the sentence and what gives another answer: that several articles
say the same makes none of them less likely. ``agreeing`` counts the other articles that do, two at most.
"""


class _Words(NamedTuple):
    """The stems of a sentence and of the answer in it."""

    said: frozenset[str] = frozenset()
    answer: frozenset[str] = frozenset()

    def agree(self, other: _Words) -> bool:
        return bool(self.answer and other.answer) and self.answer <= other.said and other.answer <= self.said


_NO_WORDS = _Words()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a passage with its signals; ``answer`` is the span in it that the reader takes for the answer."""

    passage: int
    quote: Quote
    signals: tuple[float, ...]
    answer: Quote | None = None
    words: _Words = _NO_WORDS

    def agrees(self, other: Candidate) -> bool:
        """Whether both give the same answer: each holds what is the answer of the other."""
        return self.words.agree(other.words)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence of a passage: its place in the article, the score that ranks it, a confidence in [0, 1].

    The first ``antecedent`` characters of its quote are the sentence before, where it leans on that.
    """

    passage: int
    quote: Quote
    score: float
    confidence: float
    answer: Quote | None = None
    antecedent: int = 0


CONFIDENCE_SIGNALS = (*SIGNALS, "lead")
"""Those of the confidence: also by how much the sentence's score is above the best other one's."""
_ALONE = 5.0  # the lead of a sentence that no other contradicts


def rank_evidence(question: str, found: Sequence[Retrieved]) -> list[Evidence]:
    """Return the sentences of what was retrieved, best evidence for the question first."""
    return ranked(
        candidates(question, found), fitted("rank", SIGNALS), fitted("confidence", CONFIDENCE_SIGNALS)
    )


def ranked(found: Sequence[Candidate], rank: Logistic, confidence: Logistic) -> list[Evidence]:
    """Return candidates as evidence, best first by ``rank``, each with its ``confidence``."""
    scored = by_rank(found, rank)
    return [
        Evidence(c.passage, c.quote, score, confidence.probability(confidence_signals(scored, n)), c.answer)
        for n, (score, c) in enumerate(scored)
    ]


def by_rank(found: Sequence[Candidate], rank: Logistic) -> list[tuple[float, Candidate]]:
    """Return candidates with their log-odds by ``rank``, best first."""
    return sorted(((rank.logit(c.signals), c) for c in found), key=lambda pair: -pair[0])


def confidence_signals(scored: Sequence[tuple[float, Candidate]], n: int) -> tuple[float, ...]:
    """Return what ``CONFIDENCE_SIGNALS`` names, of the n-th of candidates by rank."""
    return (*scored[n][1].signals, lead(scored, n))


def lead(scored: Sequence[tuple[float, Candidate]], n: int) -> float:
    """Return by how much the n-th score is above the best that gives another answer; scores fall."""
    score, candidate = scored[n]
    others = (s for m, (s, other) in enumerate(scored) if m != n and not candidate.agrees(other))
    return score - next(others, score - _ALONE)


def candidates(question: str, found: Sequence[Retrieved]) -> list[Candidate]:
    """Return the sentences of what was retrieved with their signals, in order."""
    spots = [
        (retrieved, span)
        for retrieved in found
        for span in statements(retrieved.passage.text)
        if _may_answer(question, retrieved.passage.text[span.start : span.end])
    ]
    texts = [retrieved.passage.text[span.start : span.end] for retrieved, span in spots]
    stems = [stems_of(text) for text in texts]
    passages = [retrieved.passage for retrieved in found]
    around = {p.number: stems_of(f"{p.title} {p.heading} {p.text}") for p in passages}
    names = {stem(name) for match in _NAME.findall(question) for name in terms_of(match)}
    weight = _word_weights(stems_of(question), names, stems)
    reads = [_read_at(retrieved, retrieved.passage.start + span.start) for retrieved, span in spots]
    answers = [_answer(retrieved.passage, read) for (retrieved, _), read in zip(spots, reads, strict=True)]
    held = [
        _Words(frozenset(said), frozenset(stems_of(answer.text)) if answer else frozenset())
        for said, answer in zip(stems, answers, strict=True)
    ]
    relevant = {r.passage.number: max((s.relevance for s in r.read), default=0.0) for r in found}
    sentences = []
    for n, ((retrieved, span), text, read) in enumerate(zip(spots, texts, reads, strict=True)):
        passage = retrieved.passage
        nearby = around[passage.number]
        overlap = sum(w for word, w in weight.items() if word in stems[n])
        context = sum(w for word, w in weight.items() if word in nearby)
        kind = _answers_kind(question, text)
        start = passage.start + span.start
        unknown = len(names - nearby)
        agreeing = {m for m in range(len(spots)) if m != n and held[n].agree(held[m])}
        say_so = {spots[m][0].passage.number for m in agreeing} - {passage.number}
        relevances = log_sum(odds for number, odds in relevant.items() if number not in say_so)
        scores = log_sum(one.sentence for m, one in enumerate(reads) if one and m not in agreeing)
        signals = (
            overlap,
            context,
            passage.score,
            retrieved.similarity,
            float(kind > 0),
            float(kind < 0),
            float(min(unknown, 3)),
            float(bool(names) and not unknown),
            *((read.relevance, read.sentence, read.answer) if read else _NOT_READ),
            relevant[passage.number] - relevances,
            (read.sentence if read else 0.0) - scores,
            float(min(2, len({spots[m][0].passage.article_id for m in agreeing} - {passage.article_id}))),
        )
        quote = Quote(start, passage.start + span.end, text)
        sentences.append(Candidate(passage.number, quote, signals, answers[n], held[n]))
    return sentences


def _read_at(retrieved: Retrieved, start: int) -> ReadSentence | None:
    return next((one for one in retrieved.read if one.start <= start < one.end), None)


def log_sum(odds: Iterable[float]) -> float:
    """Return the logarithm of the sum of what the log-odds stand for, with "none of these" (0) beside them.

    The reader is trained by this sum: a log-odds less it is the logarithm of the probability among all that was read.
    """
    values = [0.0, *odds]
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


def _may_answer(question: str, sentence: str) -> bool:
    """Whether a sentence is long enough, and not one that only asks the question again."""
    said, asked = (" ".join(re.findall(r"\w+", text.lower())) for text in (sentence, question))
    repeats = len(asked.split()) >= _SHORTEST_WORDS and asked in said
    return len(sentence.split()) >= _SHORTEST_WORDS and not repeats


def _answer(passage: Passage, read: ReadSentence | None) -> Quote | None:
    if read is None:
        return None
    start, end = read.answer_start, read.answer_end
    return Quote(start, end, passage.text[start - passage.start : end - passage.start])


def _word_weights(asked: set[str], names: set[str], stems: Sequence[set[str]]) -> dict[str, float]:
    """Return each asked word's share of the question: rare among the sentences counts more; shares add to 1."""
    counts = Counter(word for words in stems for word in words)
    weight = {word: math.log(1 + len(stems) / (1 + counts[word])) for word in asked}
    for word in asked - names - counts.keys():
        weight[word] *= _ABSENT_WORD  # "found" is said in other words more often than a name is
    whole = sum(weight.values()) or 1.0
    return {word: value / whole for word, value in weight.items()}


def _answers_kind(question: str, sentence: str) -> float:
    """1 if the sentence has the amount or time asked for, -1 if it lacks it, 0 if neither is asked."""
    if _ASKS_AMOUNT.search(question):
        return 1.0 if _NUMBER.search(sentence) else -1.0
    if _ASKS_TIME.search(question):
        return 1.0 if _TIME.search(sentence) else -1.0
    return 0.0
