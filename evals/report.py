"""Trials -> what people read: the terminal table, the JSON object and the page."""

from __future__ import annotations

import dataclasses
import html
import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from evals.run import Trial, summarize


def table(trials: Sequence[Trial]) -> Iterator[str]:
    """Yield the lines of the terminal table."""
    yield f"{'metric':<20} {'mean':>7}  {'95% interval':^17} {'n':>4}"
    for metric, mean in summarize(trials).items():
        yield f"{metric:<20} {mean.value:7.3f}  [{mean.low:7.3f},{mean.high:7.3f}] {mean.n:4}"


def as_json(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the object that ``rag eval --json`` prints."""
    return {
        "summary": {metric: mean._asdict() for metric, mean in summarize(trials).items()},
        "cases": [
            {
                **dataclasses.asdict(trial.case),
                "status": trial.answer.status,
                "answer": trial.answer.answer,
                "confidence": trial.answer.confidence,
                "scores": trial.scores,
            }
            for trial in trials
        ],
        "gate": {},
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def as_html(trials: Sequence[Trial]) -> str:
    """Return one self-contained page: the table, then every case with its answer."""
    escape = html.escape
    rows = "".join(
        f"<tr><td>{escape(metric)}<td>{m.value:.3f}<td>{m.low:.3f} to {m.high:.3f}<td>{m.n}"
        for metric, m in summarize(trials).items()
    )
    cases = "".join(
        f"<section><h2>{escape(t.case.question)}</h2><p><b>{t.answer.status}</b> {escape(t.answer.answer)}"
        f"<p class=ref>{escape(t.case.reference or 'Not in the articles.')}</section>"
        for t in trials
    )
    style = (
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.2rem 1rem .2rem 0;text-align:left}h2{font-size:1rem;margin:1.5rem 0 0}p{margin:.3rem 0}"
        ".ref{opacity:.75;border-left:3px solid;padding-left:.6rem}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Faqtual examination</title><style>{style}</style>"
        f"<h1>Examination</h1><table><tr><th>metric<th>mean<th>95% interval<th>n{rows}</table>{cases}</html>"
    )
