"""The command ``rag``: results go to standard output, everything else to standard error."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import LibraryError, RagError, UsageError
from index.embed import set_offline
from index.library import Library, default_folder
from ui import serving
from ui.examine import add_options, examine
from ui.models import add_actions, manage
from ui.progress import say, say_if_slow, show_progress

if TYPE_CHECKING:
    from index.embedder import Embedder
    from index.intake import Taken
    from rag.answer import Answer
    from rag.assistant import Assistant

ABSTAINED = 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rag", description="Answers from your articles, each sentence checked."
    )
    parser.add_argument("--library", metavar="DIR", type=Path, help="the library folder (or set RAG_LIBRARY)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ask = _command(commands, "ask", "answer one question", _ask)
    ask.add_argument("question", metavar="QUESTION", help="- reads it from standard input")
    chat = _command(
        commands,
        "chat",
        "a conversation; from a pipe, one question a line; /good, /bad CORRECTION, /new",
        _chat,
    )
    for command in (ask, chat):
        command.add_argument("--json", action="store_true", help="print one JSON object an answer")
        command.add_argument(
            "--article", metavar="ID", action="append", default=[], help="only from this article"
        )
        command.add_argument(
            "--top-k", metavar="N", type=_top_k, default=5, help="passages to read (1 to 20)"
        )
        command.add_argument("--quotes", action="store_true", help="answer in quotations alone")
    search = _command(commands, "search", "the passages for a question, and why each was found", _search)
    search.add_argument("question", metavar="QUESTION")
    search.add_argument("--json", action="store_true", help="print JSON")
    search.add_argument("--article", metavar="ID", action="append", default=[], help="only from this article")
    search.add_argument("--top-k", metavar="N", type=_top_k, default=5, help="passages (1 to 20)")
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
    add.add_argument(
        "--embedder",
        metavar="FOLDER|bundled",
        help="make the library with the sentence-transformers model in FOLDER; with --rebuild, go over to it",
    )
    add.add_argument("--rebuild", action="store_true", help="embed the stored articles again")
    _command(commands, "remove", "remove articles", _remove).add_argument("id", metavar="ID", nargs="+")
    page = _command(commands, "ui", "the page, on this machine alone or for users with passwords", _ui)
    serving.add_options(page)
    evaluation = _command(commands, "eval", "put every article's FAQ, and more, to the assistant", _eval)
    add_options(evaluation)
    for command in (ask, chat, page, evaluation):
        _add_model(command)
    add_actions(_command(commands, "models", "list, pull, use and verify models", manage))
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
    command.add_argument(
        "--model",
        metavar="NAME|FILE|URL",
        help="bundled, a pulled one, a GGUF file, or http(s)://HOST/v1[#NAME], which is then sent question and "
        "quotes; default: the one of rag models use",
    )


def _top_k(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise argparse.ArgumentTypeError("takes a number from 1 to 20")
    return int(text)


def _open(options: argparse.Namespace) -> Library:
    return Library(options.library or default_folder())


def _assistant(library: Library, options: argparse.Namespace) -> Assistant:
    from rag.assistant import Assistant, fill_if_empty
    from rag.models import find_model

    fill_if_empty(library, show_progress, say)
    say_if_slow(library)
    return Assistant(library, find_model(options.model))


def _ask(options: argparse.Namespace) -> int:
    from rag.assistant import clean_question

    question = sys.stdin.read(200_000) if options.question == "-" else options.question
    question = clean_question(question)  # before a library is opened or filled
    with _open(options) as library:
        answer = _answer(_assistant(library, options), question, (), options)
    return 0 if answer.status == "answered" else ABSTAINED


def _answer(
    assistant: Assistant, question: str, previous: Sequence[str], options: argparse.Namespace
) -> Answer:
    """Print one answer, and return it."""
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
                if value.standalone_question != value.question:
                    say(f"Asked as: {value.standalone_question}")
            return value
        if not options.json:
            print(value.with_markers, flush=True)
    raise AssertionError("a stream ends with its Answer")


def _chat(options: argparse.Namespace) -> int:
    with _open(options) as library:
        assistant = _assistant(library, options)
        answers: list[Answer] = []
        if sys.stdin.isatty():
            say(
                "Ask; /good, or /bad and what is right, keeps your word on an answer; /new starts afresh, Ctrl-D ends."
            )
        while True:
            if sys.stdin.isatty():
                print("> ", end="", file=sys.stderr, flush=True)
            line = sys.stdin.readline(200_000)
            if not line:
                return 0
            try:
                if line.strip() == "/new":
                    answers = []
                elif line.startswith(("/good", "/bad")):
                    _keep_feedback(library, answers, line)
                elif line.strip():
                    previous = [answer.standalone_question for answer in answers]
                    answers.append(_answer(assistant, line, previous, options))
            except RagError as error:
                say(f"rag: {error}")


def _search(options: argparse.Namespace) -> int:
    from rag.assistant import clean_question, fill_if_empty
    from rag.reader import Reader
    from rag.retrieve import rank_chunks
    from ui.render import found_lines, found_values

    question = clean_question(options.question)
    with _open(options) as library:
        fill_if_empty(library, show_progress, say)
        library.check_make()
        library.require(options.article)
        say_if_slow(library)
        spelt = library.corrected(question)
        vector = library.encode([spelt])[0]
        found = rank_chunks(library, spelt, vector, options.top_k, tuple(options.article), Reader().read)
    if options.json:
        results = found_values(found, spelt)
        print(json.dumps({"question": question, "searched": spelt, "results": results}, ensure_ascii=False))
    else:
        print("\n".join(found_lines(found, spelt)))
    if spelt != question and not options.json:
        say(f"Searched for: {spelt}")
    return 0 if found else ABSTAINED


def _keep_feedback(library: Library, answers: list[Answer], line: str) -> None:
    """Keep a person's word on the last answer of a conversation in the library."""
    from index.feedback import Feedback

    if not answers:
        raise UsageError("there is no answer yet to speak of; ask a question first")
    word, _, correction = line.partition(" ")
    said = " ".join(sentence.text for sentence in answers[-1].sentences)
    previous = tuple(answer.question for answer in answers[:-1])
    good = word.strip() == "/good"
    library.add_feedback(Feedback(answers[-1].question, said, good, previous, correction.strip()))
    say(
        "Kept in the library; rag eval asks it again."
        if good or correction.strip()
        else "Kept in the library."
    )


def _add(options: argparse.Namespace) -> int:
    from index.intake import add_places, sync_folder, watch_folder

    if not (options.place or options.rebuild or options.embedder):
        raise UsageError("nothing to add; name a file or a folder, as in: rag add notes/")
    if (options.sync or options.watch) and len(options.place) != 1:
        raise UsageError("--sync and --watch mirror one folder; name it, as in: rag add --sync notes/")
    failed = 0
    with _open(options) as library:
        embedder = _embedder(library, options.embedder) if options.embedder else None
        if options.rebuild:
            print(f"rebuilt {library.rebuild(show_progress, embedder)}")
        elif embedder is not None:
            library.take_embedder(embedder, show_progress)
        if options.watch:
            for taken in watch_folder(library, Path(options.place[0]), show_progress):
                _report(taken)
        elif options.sync:
            failed = _report(sync_folder(library, Path(options.place[0]), show_progress))
        elif options.place:
            private = options.allow_private
            failed = _report(add_places(library, options.place, show_progress, allow_private=private))
    return 1 if failed else 0


def _embedder(library: Library, option: str) -> Embedder:
    from index.adopt import find_embedder

    known = None
    with contextlib.suppress(LibraryError):  # of another version: the one that is named takes its place
        known = library.embedder()
    return find_embedder(option, known)


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
    if options.add_user is not None:
        return serving.keep_user(options)
    where = serving.serving(options)
    from ui.service import Service
    from ui.web import serve

    with _open(options) as library:  # what is wrong with it is said at once
        folder = library.folder
    try:
        serve(Service(folder, options.model), where, (options.auth,) if options.auth else ())
    except OSError as error:
        raise RagError(f"the page cannot be served ({error}); name a free port with --port N") from error
    return 0


def _eval(options: argparse.Namespace) -> int:
    return examine(options, lambda library: _assistant(library, options))


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
    except MemoryError:
        say("rag: out of memory; close other programs or name a smaller --model")
        return 1
    except KeyboardInterrupt:
        say("rag: stopped")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
