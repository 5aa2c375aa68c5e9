"""Figures -> what terminals, machines and pull requests read: a table, JSON, JUnit XML, Markdown."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from evals.summary import Change, Failure, Figures, summarize
from evals.trial import Trial, by_article, by_slice

SHORT = (
    "right",
    "answered",
    "abstained",
    "key_facts",
    "cites_article",
    "retrieval_hit",
    "evidence_hit@1",
    "evidence_hit@5",
    "cites_evidence",
    "contains_span",
    "span_f1",
    "citation_recall",
    "invented_numbers",
    "seconds",
)
"""The metrics of the tables for people; JSON has all."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run: its trials, FAQ answers found in the index, what the gate failed and what changed."""

    trials: Sequence[Trial]
    leaked: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    gated: bool = False
    changes: Sequence[Change] = ()


def table(report: Report) -> Iterator[str]:
    """Yield the lines of the terminal table, a block per slice."""
    for name, trials in by_slice(report.trials).items():
        yield f"{name} ({len(trials)} questions)"
        yield from figure_lines({m: mean for m, mean in summarize(trials).items() if m in SHORT})
    yield "all"
    for metric, mean in summarize(report.trials).items():
        if metric.startswith(("abstention", "calibration", "risk", "unsupported")):
            yield f"  {metric:<20} {mean.value:7.3f}"
    shown = ", ".join(report.leaked) or "none"
    yield f"FAQ answers found in the index: {shown}"
    for change in report.changes:
        d = change.difference
        yield f"since the baseline: {change.metric} {d.difference:+.3f} [{d.low:+.3f}, {d.high:+.3f}], p={d.p_value:.3f}"
        for word, cases in (("better", change.better), ("worse", change.worse)):
            if cases:
                yield f"  {word}: {', '.join(cases)}"
    yield from verdict(report)


def figure_lines(figures: Figures) -> Iterator[str]:
    """Yield a line per metric with its interval and cases."""
    for metric, mean in figures.items():
        yield f"  {metric:<20} {mean.value:7.3f}  [{mean.low:.3f}, {mean.high:.3f}]  n={mean.n}"


def verdict(report: Report) -> Iterator[str]:
    """Yield the gate's lines: passed, or what failed."""
    if report.gated:
        yield from (f"gate: {failure}" for failure in report.failures)
        yield "gate: failed" if report.failures else "gate: passed"


def as_json(report: Report) -> dict[str, Any]:
    """Return the object that ``rag eval --json`` prints."""
    groups = {"slices": by_slice(report.trials), "articles": by_article(report.trials)}
    return {
        "summary": _figures(report.trials),
        **{
            kind: {name: _figures(trials) for name, trials in found.items()} for kind, found in groups.items()
        },
        "cases": [_case(trial) for trial in report.trials],
        "gate": {
            "passed": not report.failures,
            "failed": [dataclasses.asdict(failure) for failure in report.failures],
            "leaks": list(report.leaked),
        },
        "changes": [{**dataclasses.asdict(c), "difference": c.difference._asdict()} for c in report.changes],
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """Return what figures were made on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def _figures(trials: Sequence[Trial]) -> dict[str, Any]:
    return {metric: mean._asdict() for metric, mean in summarize(trials).items()}


def _case(trial: Trial) -> dict[str, Any]:
    return {
        **dataclasses.asdict(trial.case),
        "status": trial.answer.status,
        "answer": trial.answer.answer,
        "confidence": trial.answer.confidence,
        "went_wrong": trial.went_wrong,
        "scores": trial.scores,
    }


def as_junit(report: Report) -> str:
    """Return JUnit XML: a test per case, failed where it went wrong, and one per bound of the gate that failed."""
    cases = [_junit_case(trial) for trial in report.trials]
    cases += [
        f'<testcase classname="gate" name={quoteattr(failure.metric)}><failure message={quoteattr(str(failure))}/></testcase>'
        for failure in report.failures
    ]
    failed = sum("<failure" in case for case in cases)
    head = f'<testsuite name="rag eval" tests="{len(cases)}" failures="{failed}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>", ""])


def _junit_case(trial: Trial) -> str:
    seconds = trial.answer.timings.total_ms / 1000
    attributes = f"classname={quoteattr(trial.case.slice)} name={quoteattr(_printable(trial.case.question))}"
    wrong = (
        f"<failure message={quoteattr(trial.went_wrong)}>{escape(_printable(trial.answer.answer))}</failure>"
    )
    return f'<testcase {attributes} time="{seconds:.3f}">{wrong if trial.went_wrong else ""}</testcase>'


def _printable(text: str) -> str:
    """Drop what XML 1.0 does not allow."""
    return "".join(char for char in text if char in "\t\n" or (char >= " " and char not in "\ufffe\uffff"))


def as_markdown(report: Report) -> str:
    """Return a summary for a pull request."""
    lines = ["## Examination", "", "| slice | metric | mean | 95% interval | n |", "|---|---|---|---|---|"]
    for name, trials in by_slice(report.trials).items():
        lines += [
            f"| {name} | {metric} | {m.value:.3f} | {m.low:.3f} to {m.high:.3f} | {m.n} |"
            for metric, m in summarize(trials).items()
            if metric in SHORT
        ]
    lines += ["", *(f"- {line}" for line in verdict(report))]
    for change in report.changes:
        d = change.difference
        lines.append(f"- {change.metric} {d.difference:+.3f} since the baseline (p={d.p_value:.3f})")
    return "\n".join(lines) + "\n"
