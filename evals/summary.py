"""Trials -> figures: a mean with its interval per metric, the gate, and the change since a baseline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import UsageError
from evals.score import abstention_scores, expected_calibration_error, risk_coverage_area
from evals.trial import Trial, by_slice
from evals.uncertainty import Mean, PairedDifference, bootstrap_mean, paired_bootstrap

Figures = dict[str, Mean]
_MOST = 1e9
"""What no score exceeds."""
BASELINE = Path(__file__).with_name("baseline.json")
"""The figures of the bundled articles, as ``rag eval --json`` printed them."""


def summarize(trials: Sequence[Trial]) -> Figures:
    """Return each metric's mean over the cases that it applies to, and the figures of the whole run."""
    return means([trial.scores for trial in trials]) | _of_all(trials)


def means(cases: Iterable[Mapping[str, float]]) -> Figures:
    """Return the mean of each metric over the cases that have it."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        for metric, value in case.items():
            scores.setdefault(metric, []).append(value)
    return {metric: bootstrap_mean(found) for metric, found in sorted(scores.items())}


def _of_all(trials: Sequence[Trial]) -> Figures:
    """Return the figures that no single case has; their intervals are not estimated."""
    if not trials:
        return {}
    should = [not trial.case.answerable for trial in trials]
    did = [trial.abstained for trial in trials]
    figures: dict[str, float] = {}
    if any(should) and not all(should):
        precision, recall, f1 = abstention_scores(should, did)
        figures = {"abstention_precision": precision, "abstention_recall": recall, "abstention_f1": f1}
    confidences = [trial.answer.confidence for trial in trials]
    right = [trial.right for trial in trials]
    figures["calibration_error"] = expected_calibration_error(confidences, right)
    figures["risk_coverage_area"] = risk_coverage_area(confidences, right)
    return {metric: Mean(round(v, 4), round(v, 4), round(v, 4), len(trials)) for metric, v in figures.items()}


@dataclass(frozen=True, slots=True)
class Failure:
    """A figure beyond its bound; ``kind`` is "at least" or "at most"."""

    metric: str
    value: float
    kind: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} is {self.value:g}, not {self.kind} {self.bound:g}"


def gate(
    trials: Sequence[Trial], leaked: Sequence[str], bounds: dict[str, dict[str, float]]
) -> list[Failure]:
    """Return the figures beyond their bounds: ``{"at least": {"faq/answered": 0.8}, "at most": {...}}``.

    A metric is named with its slice, or with "all"; one that the run does not have fails. An answer that
    stands in the index fails too.
    """
    groups = {"all": list(trials), **by_slice(trials)}
    figures = {
        f"{name}/{metric}": m.value
        for name, group in groups.items()
        for metric, m in summarize(group).items()
    }
    figures["all/leaks"] = float(len(leaked))
    bounds = {**bounds, "at most": {"all/leaks": 0.0, **bounds.get("at most", {})}}
    return [
        Failure(metric, figures.get(metric, float("nan")), kind, bound)
        for kind, wanted in bounds.items()
        for metric, bound in wanted.items()
        if not _within(figures.get(metric), kind, bound)
    ]


def _within(value: float | None, kind: str, bound: float) -> bool:
    if value is None:
        return False
    return value >= bound if kind == "at least" else value <= bound


def read_bounds(path: Path) -> dict[str, dict[str, float]]:
    """Return the bounds of a gate's file; raises UsageError if it is none."""
    bounds = _read_json(path)
    kinds = {"at least", "at most"}
    if not isinstance(bounds, dict) or not set(bounds) <= kinds:
        raise UsageError(
            f'{path}: not a gate; it needs {{"at least": {{"faq/answered": 0.8}}, "at most": {{}}}}'
        )
    for wanted in bounds.values():
        if not isinstance(wanted, dict) or not all(isinstance(v, int | float) for v in wanted.values()):
            raise UsageError(f"{path}: each bound of a gate is a number by metric")
    return bounds


@dataclass(frozen=True, slots=True)
class Change:
    """How a metric differs from the baseline's over the same cases, and which cases changed."""

    metric: str
    difference: PairedDifference
    better: tuple[str, ...]
    worse: tuple[str, ...]


def read_baseline(path: Path) -> dict[str, dict[str, float]]:
    """Return each case's scores in what ``rag eval --json`` printed; raises UsageError if it is none."""
    report = _read_json(path)
    try:
        return {
            str(case["id"]): {m: _score(v) for m, v in case["scores"].items()} for case in report["cases"]
        }
    except (OverflowError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a report; make one with: rag eval --json > {path}") from error


def _score(value: Any) -> float:
    """Return a score; raises ValueError for what would make every mean with it meaningless."""
    score = float(value)
    if not abs(score) <= _MOST:
        raise ValueError(value)
    return score


def changes(trials: Sequence[Trial], baseline: dict[str, dict[str, float]]) -> list[Change]:
    """Return the metrics that differ from the baseline in any case that both have (time and tokens aside)."""
    pairs: dict[str, list[tuple[str, float, float]]] = {}
    for trial in trials:
        before = baseline.get(trial.case.id, {})
        for metric, value in trial.scores.items():
            if metric in before and metric not in ("seconds", "tokens"):
                pairs.setdefault(metric, []).append((trial.case.id, value, before[metric]))
    found = []
    for metric, cases in sorted(pairs.items()):
        if any(abs(ours - theirs) > 1e-6 for _, ours, theirs in cases):
            better = tuple(i for i, ours, theirs in cases if ours > theirs + 1e-6)
            worse = tuple(i for i, ours, theirs in cases if ours < theirs - 1e-6)
            difference = paired_bootstrap([c[1] for c in cases], [c[2] for c in cases])
            found.append(Change(metric, difference, better, worse))
    return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); make it anew") from error
