"""The Examination tab: run it beside the chat, see the figures, open each case, compare with a baseline.

What is drawn is drawn by evals/page.py, as for the HTML report; all text of articles, questions and uploads is
escaped there or here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import RagError, UsageError
from index.weights import cache_folder
from ui.conversation import read_data
from ui.examination import UNDER_WAY, Examination, State
from ui.markup import attribute
from ui.sheet import QUIETLY, filled, sheet

if TYPE_CHECKING:
    from evals.trial import Trial
    from rag.answer import Passage
    from ui.service import Service

NOTHING, SHIPPED, UPLOADED = "nothing", "the shipped figures", "a report of mine"
ALL, WRONG, RIGHT = "all", "wrong", "right"
EVERY_KIND = "every kind"
_LIMITS = [("All", 0), *((str(n), n) for n in (1, 3, 10, 25))]
MOST_SHOWN = 300
"""Cases in the list; a browser lays out more only slowly."""
MOST_BASELINE_BYTES = 32 << 20
_INTRODUCTION = (
    "<p>Each article's own FAQ is kept out of the index and put to the assistant here, with questions that the "
    "articles do not answer. People who ask meanwhile are answered in between. What is stopped goes on where it was.</p>"
)


def add_examination_tab(service: Service) -> None:
    """Add the tab to the ``gradio.Tabs`` that is being built."""
    import gradio

    examination = Examination(service.assistant, service.turns, cache_folder() / "examinations")
    with gradio.Tab("Examination", id="examination") as tab:
        sheet(_INTRODUCTION)
        with gradio.Row(elem_classes="controls"):
            with gradio.Column(scale=0, min_width=220):
                limit = gradio.Dropdown(_LIMITS, value=0, label="Questions of each kind")
            run = gradio.Button("Run", variant="primary", size="md", scale=0, min_width=110)
            stop = gradio.Button("Stop", interactive=False, size="md", scale=0, min_width=110)
        progress = sheet(progress_html(State()))
        with gradio.Row(elem_classes="controls"):
            with gradio.Column(scale=0, min_width=500):
                compared = gradio.Radio([NOTHING, UPLOADED], value=NOTHING, label="Compare with")
            report = gradio.UploadButton(
                "Choose a JSON report", file_types=[".json"], size="md", scale=0, min_width=230
            )
        comparison, figures = sheet(), sheet()
        with gradio.Row(elem_classes="controls", visible=False) as choice:
            with gradio.Column(scale=0, min_width=320):
                show = gradio.Radio([ALL, WRONG, RIGHT], value=ALL, label="Cases")
            with gradio.Column(scale=0, min_width=260):
                kind = gradio.Dropdown([EVERY_KIND], value=EVERY_KIND, label="Kind")
        cases = sheet()
        drawn = gradio.State(None)  # what this page shows; it is not drawn again on coming back to the tab

        def view(state: State, against: str, report: str | None, show: str) -> dict[Any, Any]:
            busy = state.phase in UNDER_WAY
            shown: dict[Any, Any] = {
                drawn: state,
                progress: progress_html(state),
                run: gradio.update(interactive=not busy),
                stop: gradio.update(interactive=busy),
            }
            if not busy:
                kinds = [EVERY_KIND, *dict.fromkeys(trial.case.slice for trial in state.trials)]
                shown |= {
                    comparison: filled(comparison_html(state.trials, against, report)),
                    figures: filled(figures_html(state)),
                    choice: gradio.update(visible=bool(state.trials)),
                    kind: gradio.update(choices=kinds, value=EVERY_KIND),
                    cases: filled(cases_html(state.trials, show, EVERY_KIND)),
                }
            return shown

        def begin(limit: int, against: str, report: str | None, show: str) -> Iterator[dict[Any, Any]]:
            examination.start(limit or None)  # or watch the one that is under way
            for state in examination.states():
                yield view(state, against, report, show)

        def look(seen: State | None, against: str, report: str | None, show: str) -> Iterator[dict[Any, Any]]:
            if seen is None:
                bundled = _is_bundled(service)
                against = SHIPPED if bundled else NOTHING
                names = [NOTHING, *([SHIPPED] if bundled else []), UPLOADED]
                yield {compared: gradio.update(choices=names, value=against)}
            for state in examination.states():
                yield view(state, against, report, show) if state != seen else {drawn: state}

        def compare(against: str, report: str | None) -> Any:
            return filled(comparison_html(examination.state.trials, against, report))

        def list_cases(show: str, kind: str) -> Any:
            return filled(cases_html(examination.state.trials, show, kind))

        outputs = [progress, run, stop, comparison, figures, choice, kind, cases, compared, drawn]
        run.click(begin, [limit, compared, report, show], outputs, concurrency_limit=None, **QUIETLY)
        stop.click(examination.stop, queue=False, **QUIETLY)
        tab.select(look, [drawn, compared, report, show], outputs, concurrency_limit=None, **QUIETLY)
        compared.input(compare, [compared, report], comparison, **QUIETLY)
        report.upload(lambda: UPLOADED, None, compared, **QUIETLY).then(
            compare, [compared, report], comparison, **QUIETLY
        )
        gradio.on([show.input, kind.input], list_cases, [show, kind], cases, **QUIETLY)


def _is_bundled(service: Service) -> bool:
    from evals.examination import is_bundled

    with service.library() as library:  # of its own: the assistant's serves one at a time
        return is_bundled(library)


def progress_html(state: State) -> str:
    """Return a bar and a line that say how far an examination is."""
    done = len(state.trials)
    bar = (
        f'<div class=bar role=progressbar aria-label="Examination" aria-valuemin=0 aria-valuemax="{max(1, state.total)}" '
        f'aria-valuenow="{done}"><div style="width:{100 * done / max(1, state.total):.1f}%"></div></div>'
    )
    return f"{bar}<p role=status>{escape(_line(state))}</p>"


def _line(state: State) -> str:
    done, right = len(state.trials), sum(not trial.went_wrong for trial in state.trials)
    so_far = f"{done} of {state.total} questions, {right} right"
    waiting = f" {state.before} asked before and are answered first." if state.before else ""
    return {
        "new": "Not run yet.",
        "preparing": "Preparing the questions...",
        "running": f"{so_far} so far.",
        "done": f"Done: {so_far}. FAQ answers found in the index: {', '.join(state.leaked) or 'none'}.",
        "stopped": f"Stopped after {so_far}.",
        "failed": f"Ended by an error: {state.error}",
    }[state.phase] + waiting


def figures_html(state: State) -> str:
    """Return the figures and plots of a run that has ended, and links that save it."""
    from evals.page import as_html, drawn_figures
    from evals.report import Report, as_json

    if not state.trials:
        return ""
    report = Report(state.trials, state.leaked)
    saved = [
        _link("examination.json", "application/json", json.dumps(as_json(report), ensure_ascii=False)),
        _link("examination.html", "text/html", as_html(report)),
    ]
    return (
        f"{drawn_figures(report)}<p>Save as {' or '.join(saved)}; the first can be compared with later.</p>"
    )


def _link(name: str, kind: str, text: str) -> str:
    """Return a link that holds a file: nothing is left on the server's disk for others to fetch."""
    held = base64.b64encode(text.encode("utf-8", "replace")).decode()
    return f'<a download="{name}" href="data:{kind};charset=utf-8;base64,{held}">{name}</a>'


def comparison_html(trials: Sequence[Trial], against: str, report: str | None) -> str:
    """Return how a run differs from what was chosen to compare it with, or a line that says why it cannot be told."""
    from evals.page import drawn_changes
    from evals.summary import changes

    if against == NOTHING or not trials:
        return ""
    try:
        baseline = _baseline(against, report)
    except RagError as error:
        return f"<p role=alert>{escape(str(error))}</p>"
    if not any(trial.case.id in baseline for trial in trials):
        return "<p>The baseline has none of these questions.</p>"
    return drawn_changes(changes(trials, baseline)) or "<p>Nothing differs from the baseline.</p>"


def _baseline(against: str, report: str | None) -> dict[str, dict[str, float]]:
    from evals.summary import BASELINE, read_baseline

    if against == SHIPPED:
        return read_baseline(BASELINE)
    if not report:
        raise UsageError("Choose a JSON report first: what rag eval --json printed.")
    if Path(report).stat().st_size > MOST_BASELINE_BYTES:
        raise UsageError("The report is too large; choose what rag eval --json printed.")
    try:
        return read_baseline(Path(report))
    except UsageError as error:
        raise UsageError("This is not a report; choose a file that rag eval --json printed.") from error


def cases_html(trials: Sequence[Trial], show: str, kind: str) -> str:
    """Return the cases to open: the chosen ones."""
    from evals.page import drawn_case

    chosen = [
        trial
        for trial in trials
        if kind in (EVERY_KIND, trial.case.slice) and show in (ALL, WRONG if trial.went_wrong else RIGHT)
    ]
    more = len(chosen) - MOST_SHOWN
    note = f"<p>And {more} more; choose a kind to see them.</p>" if more > 0 else ""
    none = "<p>There are no such cases.</p>" if trials and not chosen else ""
    return "".join(drawn_case(trial, _opener) for trial in chosen[:MOST_SHOWN]) + note + none


def _opener(passage: Passage) -> str:
    """Return a button for each quote of a passage, as they stand there: page.js opens the article beside the conversation."""
    buttons = []
    for number, quote in enumerate(sorted(passage.quotes, key=lambda quote: quote.start), start=1):
        name = f"Open quote {number} in the reader" if len(passage.quotes) > 1 else "Open in the reader"
        label = attribute(f"{name}: {passage.place}")
        data = read_data(passage, quote.start, quote.end)
        buttons.append(f' <button type="button" class="cite"{data} aria-label="{label}">{name}</button>')
    return "".join(buttons)
