"""The shipped logistic regressions over signals, fitted by ``python -m rag.training fit``."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).parent / "weights" / "evidence.json"


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
        return probability_of(self.logit(signals))


def probability_of(odds: float) -> float:
    """Return the probability that log-odds stand for, in [0, 1]."""
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, odds))))


@functools.cache
def _weights() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(WEIGHTS.read_text())
    return found


def least_confidence() -> float:
    """Return the fitted threshold: below it the articles are taken not to answer."""
    return float(_weights()["threshold"])


def joining_odds() -> float:
    """Return the fitted log-odds from which a further sentence joins an answer."""
    return float(_weights()["joining"])


def forget() -> None:
    """Read the weights file anew at the next use."""
    _weights.cache_clear()
    fitted.cache_clear()


@functools.cache
def fitted(name: str, signals: tuple[str, ...]) -> Logistic:
    """Return the fit over these signals: "passage" (does a chunk answer), "rank" (does a sentence), "confidence" (is the first right)."""
    fit = _weights()[name]
    return Logistic(tuple(fit["weights"][signal] for signal in signals), fit["constant"])
