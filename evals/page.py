"""A run -> one self-contained page: figures, plots, and every case with its answer and highlighted quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from evals.cases import Case
from evals.report import SHORT, Report, verdict
from evals.score import risk_by_coverage
from evals.summary import Change, summarize
from evals.trial import Trial, by_article, by_slice
from evals.uncertainty import Mean
from rag.answer import Passage
from rag.highlight import highlighted

STYLE = """
table{border-collapse:collapse;padding:0;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding:.4rem 0}
table.scroll{display:block;font-size:.85rem;overflow-x:auto;margin-bottom:1.5rem}th{font-weight:600;vertical-align:bottom}
th,td{padding:.25rem .8rem .25rem 0;text-align:left;border-bottom:1px solid var(--line)}td+td,thead th+th,th+td{text-align:right}tbody th{font-weight:400}tbody :is(th,td){vertical-align:top}
small{display:block;font-size:.75rem;font-weight:400;white-space:nowrap;color:var(--quiet)}
.plots{display:flex;flex-wrap:wrap;gap:2rem;margin:1.5rem 0}figure{margin:0;max-width:100%}figcaption{font-size:.85rem;color:var(--quiet)}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:currentColor}
details{border-bottom:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer;overflow-wrap:anywhere}
.tag{font-size:.8rem;padding:.1rem .5rem;border-radius:1rem;border:1px solid var(--line);margin-left:.5rem;white-space:nowrap}
.wrong{color:var(--bad)}.fine{color:var(--good)}blockquote{margin:.5rem 0;max-width:90ch;padding-left:.8rem;border-left:3px solid var(--line);white-space:pre-wrap}
.case p,blockquote{overflow-wrap:anywhere}.case p{margin:.3rem 0;max-width:90ch}mark{background:#ffe28a;color:#222}@media(max-width:30rem){th,td{padding-right:.6rem}}
"""
"""How the drawings look, given ``--line``, ``--quiet``, ``--good`` and ``--bad``."""
_PAGE_STYLE = """
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 20%,transparent);--quiet:color-mix(in srgb,currentColor 70%,transparent)}
:root{--good:light-dark(#1a7f4b,#5fd39a);--bad:light-dark(#b4232c,#ff8f95)}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
.filters{position:sticky;top:0;background:Canvas;padding:.5rem 0}label{margin-right:1rem}
"""
_SCRIPT = """
const boxes=[...document.querySelectorAll('.filters input')];
function show(){const on=k=>boxes.filter(b=>b.name===k&&b.checked).map(b=>b.value);
const slices=on('slice'),wrongs=on('wrong');
document.querySelectorAll('.case').forEach(c=>c.hidden=!(slices.includes(c.dataset.slice)&&wrongs.includes(c.dataset.wrong)));}
boxes.forEach(b=>b.addEventListener('change',show));
"""


def as_html(report: Report) -> str:
    """Return the page; it loads nothing from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Faqtual examination</title><style>{_PAGE_STYLE}{STYLE}</style><h1>Examination</h1>",
        *(f"<p>{escape(line)}</p>" for line in verdict(report)),
        drawn_figures(report),
        "<h2>Cases</h2>",
        _filters(report.trials),
        *map(drawn_case, report.trials),
        f"<script>{_SCRIPT}</script></html>",
    ]
    return "\n".join(parts)


def drawn_figures(report: Report) -> str:
    """Return the figures of a run: an overview, the change since a baseline, plots, and tables to open."""
    trials = report.trials
    parts = [
        _overview(trials),
        drawn_changes(report.changes),
        "<div class=plots>",
        _bars("answered right, by article", _share_right(trials)),
        _curve("risk (share wrong) as more is answered, the surest first", _risks(trials)),
        _bars("seconds an answer", _latencies(trials)),
        "</div>",
        *(_table(name, group) for name, group in by_slice(trials).items()),
        _table("all", trials),
    ]
    return "\n".join(parts)


def _overview(trials: Sequence[Trial]) -> str:
    """One column a slice, with the metrics that people look at first."""
    groups = by_slice(trials)
    figures = {name: summarize(group) for name, group in groups.items()}
    metrics = [metric for metric in SHORT if any(metric in found for found in figures.values())]
    head = "".join(
        f"<th scope=col>{escape(name)}<small>{len(group)} questions</small></th>"
        for name, group in groups.items()
    )
    rows = "".join(
        f"<tr><th scope=row>{_words(metric)}</th>{''.join(_figure_cell(found.get(metric)) for found in figures.values())}</tr>"
        for metric in metrics
    )
    caption = "<caption>Means, and their 95% intervals</caption>"
    return f"<table class=scroll tabindex=0>{caption}<thead><tr><th>metric</th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _figure_cell(mean: Mean | None) -> str:
    if mean is None:
        return "<td></td>"
    return f"<td>{mean.value:.2f}<small>{mean.low:.2f} to {mean.high:.2f}</small></td>"


def _words(metric: str) -> str:
    return escape(metric.replace("_", " ").replace("@", " @"))


def drawn_changes(changes: Sequence[Change]) -> str:
    """Return the table of what differs from a baseline, and in which cases; empty if nothing does."""
    rows = "".join(
        f"<tr><th scope=row>{_words(change.metric)}</th><td>{d.difference:+.3f}<small>{d.low:+.3f} to {d.high:+.3f}</small></td>"
        f"<td>{d.p_value:.3f}</td><td>{_count(change.better)}</td><td>{_count(change.worse)}</td></tr>"
        for change in changes
        for d in [change.difference]
    )
    names = ("metric", "change", "p", "better", "worse")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    caption = "<caption>Since the baseline, over the questions that both have</caption>"
    table = (
        f"<table class=scroll tabindex=0>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    return table if rows else ""


def _count(cases: Sequence[str]) -> str:
    """How many cases; their ids appear on pointing at the number."""
    return f'<span title="{escape(", ".join(cases))}">{len(cases)}</span>'


def _table(name: str, trials: Sequence[Trial]) -> str:
    rows = "".join(
        f"<tr><td>{escape(metric)}<td>{m.value:.3f}<td>{m.low:.3f} to {m.high:.3f}<td>{m.n}"
        for metric, m in summarize(trials).items()
    )
    head = "<tr><th>metric<th>mean<th>95% interval<th>n"
    return f"<details><summary><b>{escape(name)}</b> ({len(trials)} questions)</summary><table>{head}{rows}</table></details>"


# plots


def _share_right(trials: Sequence[Trial]) -> list[tuple[str, float]]:
    return [(name, sum(t.right for t in group) / len(group)) for name, group in by_article(trials).items()]


def _latencies(trials: Sequence[Trial]) -> list[tuple[str, float]]:
    seconds = sorted(trial.answer.timings.total_ms / 1000 for trial in trials) or [0.0]
    return [
        (f"p{share}", seconds[min(len(seconds) - 1, len(seconds) * share // 100)])
        for share in (10, 50, 90, 99)
    ]


def _risks(trials: Sequence[Trial]) -> list[tuple[float, float]]:
    """Return the share that is wrong among the surest answers, for each share of all."""
    risks = risk_by_coverage([t.answer.confidence for t in trials], [t.right for t in trials])
    return [(count / len(risks), risk) for count, risk in enumerate(risks, start=1)]


def _bars(title: str, bars: Sequence[tuple[str, float]]) -> str:
    most = max((value for _, value in bars), default=1.0) or 1.0
    rows = "".join(
        f'<text x=0 y={y + 12}>{escape(name[:34])}</text><rect x=210 y={y} width={value / most * 110:.1f} height=14 fill="#4b7bd1"/>'
        f"<text x={215 + value / most * 110:.1f} y={y + 12}>{value:.2f}</text>"
        for y, (name, value) in zip(range(0, 20 * len(bars), 20), bars, strict=True)
    )
    return _figure(title, 370, max(20, 20 * len(bars)), rows)


def _curve(title: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{30 + x * 260:.1f},{120 - y * 110:.1f}" for x, y in points)
    axes = '<path d="M30 10V120H290" fill=none stroke=currentColor opacity=.4 /><text x=0 y=16>1</text><text x=0 y=122>0</text>'
    line = f'<polyline points="{path}" fill=none stroke="#4b7bd1" stroke-width=2 />'
    return _figure(title, 300, 140, f"{axes}{line}<text x=200 y=136>coverage</text>")


def _figure(title: str, width: int, height: int, drawing: str) -> str:
    svg = f'<svg width={width} height={height} viewBox="0 0 {width} {height}" role=img aria-label="{escape(title)}">{drawing}</svg>'
    return f"<figure>{svg}<figcaption>{escape(title)}</figcaption></figure>"


# cases


def _filters(trials: Sequence[Trial]) -> str:
    slices = dict.fromkeys(trial.case.slice for trial in trials)
    wrongs = dict.fromkeys(trial.went_wrong for trial in trials)
    boxes = [_box("slice", name, name) for name in slices]
    boxes += [_box("wrong", name, f"wrong: {name}" if name else "right") for name in sorted(wrongs)]
    return f"<div class=filters>{''.join(boxes)}</div>"


def _box(kind: str, value: str, label: str) -> str:
    return f'<label><input type=checkbox checked name={kind} value="{escape(value)}"> {escape(label)}</label>'


def drawn_case(trial: Trial, opener: Callable[[Passage], str] = lambda passage: "") -> str:
    """Return a case to open: the question and how it went; inside what was expected, the answer and its quotes.

    ``opener`` gives what opens a cited passage elsewhere, as HTML.
    """
    case, answer, wrong = trial.case, trial.answer, trial.went_wrong
    before = "".join(f"<p>before: {escape(question)}</p>" for question in case.previous)
    tag = f"<span class='tag wrong'>wrong: {wrong}</span>" if wrong else "<span class='tag fine'>right</span>"
    return (
        f'<details class=case data-slice="{escape(case.slice)}" data-wrong="{wrong}"><summary>{escape(case.question)}'
        f"{tag}<span class=tag>{answer.status}</span><span class=tag>{escape(case.slice)}</span></summary>{before}"
        f"<p><b>expected</b> {_expected(case)}</p>"
        f"<p><b>{answer.status}</b> (confidence {answer.confidence:.2f}) {escape(answer.answer)}</p>"
        f"{''.join(_passages(answer.passages, opener))}</details>"
    )


def _expected(case: Case) -> str:
    if not case.answerable:
        return "to abstain: the articles do not answer it"
    wanted = case.reference or " or ".join(case.spans) or f"an answer from {', '.join(case.article_ids)}"
    return escape(wanted + (f" (key facts: {', '.join(case.facts)})" if case.facts else ""))


def _passages(passages: Sequence[Passage], opener: Callable[[Passage], str]) -> Iterator[str]:
    for passage in passages:
        if passage.cited:
            place = f"<b>[{passage.number}] {escape(passage.place)}</b>{opener(passage)}"
            yield f"<blockquote>{place}<br>{highlighted(passage)}</blockquote>"
