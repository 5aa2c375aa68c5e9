"""Scores of one answer and their means: pure functions."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rag.check import numbers_in

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class Mean(NamedTuple):
    """A mean over ``n`` values with the ends of its 95% interval (normal approximation)."""

    value: float
    low: float
    high: float
    n: int


def token_f1(answer: str, reference: str) -> float:
    """Return SQuAD's token F1 (Rajpurkar et al., EMNLP 2016) of an answer against a reference."""
    said, wanted = _tokens(answer), _tokens(reference)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else float(said == wanted)


def fact_recall(answer: str, facts: Sequence[str]) -> float | None:
    """Return the share of the facts that stand in the answer; None where there are none."""
    if not facts:
        return None
    numbers = set(numbers_in(answer))
    found = [fact in numbers if fact[0].isdigit() else fact.lower() in answer.lower() for fact in facts]
    return sum(found) / len(facts)


def invented_numbers(answer: str, evidence: str) -> int:
    """Return how many of the answer's numbers do not stand in its quotes."""
    return len(set(numbers_in(answer)) - set(numbers_in(evidence)))


def mean(values: Sequence[float]) -> Mean:
    """Return the mean with its interval; zeros for no values."""
    n = len(values)
    if not n:
        return Mean(0.0, 0.0, 0.0, 0)
    value = sum(values) / n
    spread = math.sqrt(sum((v - value) ** 2 for v in values) / max(1, n - 1) / n) * 1.96
    return Mean(round(value, 4), round(value - spread, 4), round(value + spread, 4), n)


def _tokens(text: str) -> list[str]:
    text = re.sub(r"\[\d+\]", " ", text.lower())
    return _ARTICLES.sub(" ", re.sub(r"[^\w\s]", "", text)).split()
