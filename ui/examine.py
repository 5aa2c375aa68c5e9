"""The command ``rag eval``: the examination of a library, or of a public set."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import RagError, UsageError
from index.library import Library, default_folder
from index.weights import cache_folder
from ui.progress import say, show_progress

if TYPE_CHECKING:
    from evals.cases import Case
    from rag.assistant import Assistant

BELOW_GATE = 4


def add_options(command: argparse.ArgumentParser) -> None:
    """Give ``rag eval`` its options."""
    command.add_argument("--json", action="store_true", help="print JSON")
    for name, what in (("html", "a page"), ("junit", "JUnit XML"), ("markdown", "a summary in Markdown")):
        command.add_argument(f"--{name}", metavar="FILE", type=Path, help=f"also write {what}")
    command.add_argument("--slice", metavar="NAME", action="append", default=[], help="only these questions")
    command.add_argument("--limit", metavar="N", type=_count, help="only the first N cases of each slice")
    command.add_argument("--cases", metavar="FILE", type=Path, help="also questions and labels of yours")
    command.add_argument("--gate", metavar="FILE", type=Path, help="bounds; exit status 4 if one is not kept")
    command.add_argument(
        "--baseline", metavar="FILE", type=Path, help="compare with what --json printed before"
    )
    command.add_argument("--jobs", metavar="N", type=_count, default=1, help="processes that share the work")
    command.add_argument(
        "--export-feedback",
        metavar="FILE",
        type=Path,
        help="only write what people thought of answers as cases",
    )
    public = command.add_mutually_exclusive_group()
    public.add_argument("--squad", metavar="FILE", type=Path, help="instead, the questions of a SQuAD file")
    public.add_argument("--beir", metavar="DIR", type=Path, help="instead, retrieval alone on a BEIR folder")
    command.add_argument("--articles", metavar="N", type=_count, help="with --squad: only N of its articles")
    command.add_argument(
        "--seed", metavar="N", type=int, default=0, help="with --squad or --beir: which ones"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("takes a number from 1")
    return int(text)


def examine(options: argparse.Namespace, assistant_of: Callable[[Library], Assistant]) -> int:
    """Run ``rag eval``; ``assistant_of`` makes the assistant of a library. Returns the exit status."""
    if options.export_feedback is not None:
        return _export(options)
    return _rank(options) if options.beir is not None else _examine(options, assistant_of)


def _examine(options: argparse.Namespace, assistant_of: Callable[[Library], Assistant]) -> int:
    from evals.examination import leaks
    from evals.page import as_html
    from evals.report import Report, as_json, as_junit, as_markdown, table
    from evals.run import affordable_jobs, run_cases
    from evals.summary import changes, gate, read_baseline, read_bounds

    outputs = {options.html: as_html, options.junit: as_junit, options.markdown: as_markdown}
    for path in filter(None, outputs):
        _write(path, "")  # before the questions are asked, lest their answers find no place
    bounds = read_bounds(options.gate) if options.gate else None
    baseline = read_baseline(options.baseline) if options.baseline else {}
    with _examined(options) as (library, of_file):
        assistant = assistant_of(library)
        cases = _cases(library, options) if of_file is None else of_file
        jobs = affordable_jobs(options.jobs, assistant)
        if jobs < options.jobs:
            say(f"The free memory allows {jobs} of {options.jobs} processes.")
        keep = cache_folder() / "examinations" if of_file is None else None
        trials = run_cases(assistant, cases, show_progress, keep, jobs)
        leaked = leaks(library)
    failures = gate(trials, leaked, bounds) if bounds is not None else []
    report = Report(trials, leaked, failures, bounds is not None, changes(trials, baseline))
    print(json.dumps(as_json(report), ensure_ascii=False) if options.json else "\n".join(table(report)))
    for path in filter(None, outputs):
        _write(path, outputs[path](report))
        say(f"Wrote {path}")
    return BELOW_GATE if failures else 0


def _cases(library: Library, options: argparse.Namespace) -> list[Case]:
    from evals.examination import examination

    return examination(library, options.slice, options.limit, options.cases)


@contextmanager
def _examined(options: argparse.Namespace) -> Iterator[tuple[Library, list[Case] | None]]:
    """Open the library to examine: the user's, or one made of a SQuAD file, with that file's cases."""
    if options.squad is None:
        with Library(options.library or default_folder()) as library:
            yield library, None
        return
    from evals.squad import read_squad

    articles, cases = read_squad(
        options.squad, most_articles=options.articles, limit=options.limit, seed=options.seed
    )
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        library.add(articles, show_progress)
        yield library, cases


def _rank(options: argparse.Namespace) -> int:
    """Examine retrieval alone."""
    from evals.beir import rank_documents, read_beir
    from evals.report import environment, figure_lines
    from evals.summary import means

    if options.html or options.junit or options.markdown or options.gate or options.baseline:
        raise UsageError(
            "--beir ranks documents and has no answers to report; it goes with --json, --limit, --seed"
        )
    articles, queries = read_beir(options.beir, limit=options.limit, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        library.add(articles, show_progress)
        rankings = rank_documents(library, queries, show_progress)
    figures = means(ranking.scores for ranking in rankings)
    if options.json:
        cases = [
            {"id": r.query.id, "question": r.query.text, "ranked": r.ranked[:10], "scores": r.scores}
            for r in rankings
        ]
        summary = {metric: mean._asdict() for metric, mean in figures.items()}
        print(json.dumps({"summary": summary, "cases": cases, "gate": {}, "environment": environment()}))
        return 0
    print(f"retrieval ({len(articles)} documents, {len(queries)} queries)")
    print("\n".join(figure_lines(figures)))
    return 0


def _export(options: argparse.Namespace) -> int:
    """Write what people thought of answers as a file that --cases reads."""
    from evals.feedback import FEEDBACK, as_questions

    with Library(options.library or default_folder()) as library:
        given = library.feedback()
    questions = as_questions(given)
    _write(options.export_feedback, json.dumps({FEEDBACK: questions}, ensure_ascii=False, indent=1) + "\n")
    passed_over = len(given) - len(questions)
    say(f"Wrote {len(questions)} cases to {options.export_feedback}; {passed_over} had no correction.")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RagError(f"{path}: {error.strerror}; name a file that can be written") from error
