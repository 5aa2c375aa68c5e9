"""Whether the model's words are better than bare quotes: ``python -m evals.bench.wording FILE [--answers N]``.

Asks the questions written for the bundled articles twice, with the model and with ``--quotes``, and writes the answers that
differ to FILE side by side as A and B, which is which by chance, to be read blind; the key stands at the end. Prints
each way's key facts, words and seconds over the questions that are answered.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from corpus.readers import bundled_articles, read_articles
from evals.cases import Case
from evals.examination import faq_cases
from evals.score import fact_recall
from evals.written import BUNDLED, read_written, written_cases
from index.embed import set_offline
from index.library import Library
from rag.answer import Answer
from rag.assistant import Assistant, fill_if_empty
from rag.models import find_model

WAYS = ("in the model's words", "quotes alone")


class Asked(NamedTuple):
    """A question with its answer in each of the ``WAYS``, and the seconds of each."""

    case: Case
    answers: tuple[Answer, Answer]
    seconds: tuple[float, float]


def ask_both(assistant: Assistant, case: Case, chance: random.Random) -> Asked:
    """Return a case's answers in both ways, asked in an order by chance."""
    answers: dict[bool, Answer] = {}
    seconds: dict[bool, float] = {}
    for quotes_only in chance.sample((False, True), 2):
        began = time.perf_counter()
        answers[quotes_only] = assistant.ask(case.question, quotes_only=quotes_only)
        seconds[quotes_only] = time.perf_counter() - began
    return Asked(case, (answers[False], answers[True]), (seconds[False], seconds[True]))


def figures(asked: Sequence[Asked]) -> Iterator[str]:
    """Yield the lines of a table, a way each."""
    yield "| way | key facts | words | s an answer |"
    yield "|---|---|---|---|"
    for n, way in enumerate(WAYS):
        recalls = [fact_recall(one.answers[n].answer, one.case.facts) for one in asked]
        facts = statistics.mean(r for r in recalls if r is not None)
        words = statistics.mean(len(one.answers[n].answer.split()) for one in asked)
        seconds = statistics.median(one.seconds[n] for one in asked)
        yield f"| {way} | {facts:.3f} | {words:.0f} | {seconds:.2f} |"


def sheet(asked: Sequence[Asked], chance: random.Random) -> Iterator[str]:
    """Yield the lines of what is read blind, and the key behind it."""
    key = []
    for number, one in enumerate(asked, start=1):
        swapped = chance.random() < 0.5
        first, second = reversed(one.answers) if swapped else one.answers
        yield f"{number}. {one.case.question}\n   - A: {first.answer}\n   - B: {second.answer}\n"
        key.append(f"{number}{'B' if swapped else 'A'}")
    yield f"The model's words are: {', '.join(key)}."


def main() -> None:
    """Write the sheet and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.wording", description=__doc__)
    parser.add_argument("file", type=Path, help="the sheet, in Markdown")
    parser.add_argument("--answers", type=int, default=60, help="that differ, at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    set_offline()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        fill_if_empty(library, lambda *_: None, lambda _: None)
        articles = list(read_articles(bundled_articles()))
        faq = faq_cases(library, articles)
        written = written_cases(read_written(BUNDLED), faq, library)
        cases = [case for case in (*faq, *written) if not case.previous]
        assistant = Assistant(library, find_model())
        asked = [ask_both(assistant, case, chance) for case in cases]
        asked = [one for one in asked if one.answers[1].status == "answered"]
    differing = [one for one in asked if one.answers[0].answer != one.answers[1].answer]
    shown = chance.sample(differing, min(options.answers, len(differing)))
    options.file.write_text("\n".join(sheet(shown, chance)) + "\n", encoding="utf-8")
    print(f"{len(asked)} answers, of which {len(differing)} are in the model's words in part")
    print("\n".join(figures(asked)))


if __name__ == "__main__":
    main()
