"""The command ``rag``: results go to standard output, everything else to standard error."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import RagError, UsageError
from index.embed import set_offline
from index.library import Library, default_folder
from index.weights import cache_folder
from ui.progress import say, show_progress

if TYPE_CHECKING:
    from evals.cases import Case
    from index.intake import Taken
    from rag.assistant import Assistant

ABSTAINED = 3
BELOW_GATE = 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag", description="Answers from your articles, each sentence checked."
    )
    parser.add_argument("--library", metavar="DIR", type=Path, help="the library folder (or set RAG_LIBRARY)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ask = _command(commands, "ask", "answer one question", _ask)
    ask.add_argument("question", metavar="QUESTION", help="- reads it from standard input")
    chat = _command(commands, "chat", "a conversation; from a pipe, one question a line", _chat)
    for command in (ask, chat):
        command.add_argument("--json", action="store_true", help="print one JSON object an answer")
        command.add_argument(
            "--article", metavar="ID", action="append", default=[], help="only from this article"
        )
        command.add_argument(
            "--top-k", metavar="N", type=_top_k, default=5, help="passages to read (1 to 20)"
        )
        command.add_argument("--quotes", action="store_true", help="answer in quotations alone")
    add = _command(
        commands, "add", "add articles: files, folders, patterns, web pages, feeds, sitemaps", _add
    )
    add.add_argument("place", metavar="PATH|URL", nargs="*")
    add.add_argument(
        "--sync", action="store_true", help="mirror the one folder: also remove what is gone from it"
    )
    add.add_argument(
        "--watch", action="store_true", help="mirror the one folder now and after each change in it"
    )
    add.add_argument(
        "--allow-private", action="store_true", help="also fetch from this machine and its network"
    )
    add.add_argument("--rebuild", action="store_true", help="embed the stored articles again")
    _command(commands, "remove", "remove articles", _remove).add_argument("id", metavar="ID", nargs="+")
    page = _command(commands, "ui", "the page, on 127.0.0.1", _ui)
    page.add_argument("--port", type=int, help="default: the first free one from 7860")
    _add_eval(commands)
    for command in (ask, chat, page):
        _add_model(command)
    _command(commands, "doctor", "what works here and what does not", _doctor)
    listing = _command(commands, "list", "list the articles", _list)
    show = _command(commands, "show", "print an article", _show)
    show.add_argument("id", metavar="ID")
    for command in (listing, show):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    description: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=description, description=description)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--library", metavar="DIR", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="NAME|FILE", help="a local GGUF instead of the bundled one")


def _add_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    examine = _command(commands, "eval", "put every article's FAQ, and more, to the assistant", _eval)
    examine.add_argument("--json", action="store_true", help="print JSON")
    for name, what in (("html", "a page"), ("junit", "JUnit XML"), ("markdown", "a summary in Markdown")):
        examine.add_argument(f"--{name}", metavar="FILE", type=Path, help=f"also write {what}")
    examine.add_argument("--slice", metavar="NAME", action="append", default=[], help="only these questions")
    examine.add_argument("--limit", metavar="N", type=int, help="only the first N cases of each slice")
    examine.add_argument("--gate", metavar="FILE", type=Path, help="bounds; exit status 4 if one is not kept")
    examine.add_argument(
        "--baseline", metavar="FILE", type=Path, help="compare with what --json printed before"
    )
    examine.add_argument("--squad", metavar="FILE", type=Path, help="instead, the questions of a SQuAD file")
    examine.add_argument("--articles", metavar="N", type=int, help="with --squad: only N of its articles")
    examine.add_argument("--seed", metavar="N", type=int, default=0, help="with --squad: which ones")
    _add_model(examine)


def _top_k(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise argparse.ArgumentTypeError("takes a number from 1 to 20")
    return int(text)


def _open(options: argparse.Namespace) -> Library:
    return Library(options.library or default_folder())


def _assistant(library: Library, options: argparse.Namespace) -> Assistant:
    from rag.assistant import Assistant, fill_if_empty

    fill_if_empty(library, show_progress, say)
    return Assistant(library, options.model)


def _ask(options: argparse.Namespace) -> int:
    from rag.assistant import clean_question

    question = sys.stdin.read(200_000) if options.question == "-" else options.question
    question = clean_question(question)  # before a library is opened or filled
    with _open(options) as library:
        return _answer(_assistant(library, options), question, None, options)[0]


def _answer(
    assistant: Assistant, question: str, previous: str | None, options: argparse.Namespace
) -> tuple[int, str | None]:
    """Print one answer; return the exit status and the stand-alone question."""
    from rag.answer import Answer
    from ui.render import answer_lines

    for value in assistant.stream(
        question,
        previous=previous,
        article_ids=tuple(options.article),
        top_k=options.top_k,
        quotes_only=options.quotes,
    ):
        if isinstance(value, Answer):
            if options.json:
                print(json.dumps(dataclasses.asdict(value), ensure_ascii=False), flush=True)
            else:
                print("\n".join(answer_lines(value)), flush=True)
            return (0 if value.status == "answered" else ABSTAINED), value.standalone_question
        if not options.json:
            print(value.with_markers, flush=True)
    raise AssertionError("a stream ends with its Answer")


def _chat(options: argparse.Namespace) -> int:
    with _open(options) as library:
        assistant = _assistant(library, options)
        previous: str | None = None
        if sys.stdin.isatty():
            say("Ask; /new starts afresh, Ctrl-D ends.")
        while True:
            if sys.stdin.isatty():
                print("> ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline(200_000)
            if not line:
                return 0
            if line.strip() == "/new":
                previous = None
            elif line.strip():
                try:
                    _, previous = _answer(assistant, line, previous, options)
                except RagError as error:
                    say(f"rag: {error}")


def _add(options: argparse.Namespace) -> int:
    from index.intake import add_places, sync_folder, watch_folder

    if not options.place and not options.rebuild:
        raise UsageError("nothing to add; name a file or a folder, as in: rag add notes/")
    if (options.sync or options.watch) and len(options.place) != 1:
        raise UsageError("--sync and --watch mirror one folder; name it, as in: rag add --sync notes/")
    failed = 0
    with _open(options) as library:
        if options.rebuild:
            print(f"rebuilt {library.rebuild(show_progress)}")
        if options.watch:
            for taken in watch_folder(library, Path(options.place[0]), show_progress):
                _report(taken)
        elif options.sync:
            failed = _report(sync_folder(library, Path(options.place[0]), show_progress))
        elif options.place:
            private = options.allow_private
            failed = _report(add_places(library, options.place, show_progress, allow_private=private))
    return 1 if failed else 0


def _report(taken: Taken) -> int:
    """Print what happened to each article; return how many could not be read."""
    done = {**dataclasses.asdict(taken.added), "removed": taken.removed}
    for word, article_ids in done.items():
        for article_id in article_ids:
            print(f"{word} {article_id}", flush=True)
    for failure in taken.failures:
        say(f"rag: {failure}")
    return len(taken.failures)


def _ui(options: argparse.Namespace) -> int:
    with _open(options) as library:
        assistant = _assistant(library, options)
        from ui.web import serve

        try:
            serve(assistant, options.port)
        except OSError as error:
            raise RagError(f"the page cannot be served ({error}); name a free port with --port N") from error
    return 0


def _eval(options: argparse.Namespace) -> int:
    from evals.cases import examination, leaks
    from evals.page import as_html
    from evals.report import Report, as_json, as_junit, as_markdown, table
    from evals.run import run_cases
    from evals.summary import changes, gate, read_baseline, read_bounds

    outputs = {options.html: as_html, options.junit: as_junit, options.markdown: as_markdown}
    for path in filter(None, outputs):
        _write(path, "")  # before the questions are asked, lest their answers find no place
    bounds = read_bounds(options.gate) if options.gate else None
    baseline = read_baseline(options.baseline) if options.baseline else {}
    with _examined(options) as (library, cases):
        assistant = _assistant(library, options)
        trials = run_cases(
            assistant,
            examination(library, options.slice, options.limit) if cases is None else cases,
            show_progress,
            cache_folder() / "examinations" if cases is None else None,
        )
        leaked = leaks(library)
    failures = gate(trials, leaked, bounds) if bounds is not None else []
    report = Report(trials, leaked, failures, bounds is not None, changes(trials, baseline))
    print(json.dumps(as_json(report), ensure_ascii=False) if options.json else "\n".join(table(report)))
    for path in filter(None, outputs):
        _write(path, outputs[path](report))
        say(f"Wrote {path}")
    return BELOW_GATE if failures else 0


@contextlib.contextmanager
def _examined(options: argparse.Namespace) -> Iterator[tuple[Library, list[Case] | None]]:
    """Open the library to examine: the user's, or one made of a SQuAD file, with that file's cases."""
    if options.squad is None:
        with _open(options) as library:
            yield library, None
        return
    from evals.squad import read_squad

    articles, cases = read_squad(
        options.squad, most_articles=options.articles, limit=options.limit, seed=options.seed
    )
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        library.add(articles, show_progress)
        yield library, cases


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RagError(f"{path}: {error.strerror}; name a file that can be written") from error


def _doctor(options: argparse.Namespace) -> int:
    from ui.doctor import examine

    findings = list(examine(options.library or default_folder()))
    for finding in findings:
        print(f"{'ok  ' if finding.works else 'FAIL'} {finding.name}: {finding.detail}")
    return 0 if all(finding.works for finding in findings) else 1


def _remove(options: argparse.Namespace) -> int:
    with _open(options) as library:
        library.remove(options.id, show_progress)
    for article_id in options.id:
        print(f"removed {article_id}")
    return 0


def _list(options: argparse.Namespace) -> int:
    with _open(options) as library:
        listings = library.listings()
    if options.json:
        print(json.dumps([dataclasses.asdict(listing) for listing in listings], ensure_ascii=False))
        return 0
    for listing in listings:
        print(f"{listing.id}  {listing.chunks} chunks, {listing.faq} FAQ  {listing.title}")
    if not listings:
        say("The library is empty; add articles with: rag add PATH")
    return 0


def _show(options: argparse.Namespace) -> int:
    with _open(options) as library:
        article = library.article(options.id)
    print(json.dumps(dataclasses.asdict(article), ensure_ascii=False) if options.json else article.text)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run ``rag``; return the exit status that the README lists."""
    set_offline()
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except RagError as error:
        say(f"rag: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        say("rag: stopped")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
