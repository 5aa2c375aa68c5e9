"""Cases -> trials: each case's question is put to the same Assistant that people ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import RagError
from evals.cases import Case
from evals.journal import Journal
from evals.trial import Trial
from rag.assistant import Assistant
from rag.followup import stand_alone
from rag.models import ModelFile

if TYPE_CHECKING:
    from rag.models import Model

Progress = Callable[[str, int, int], None]
_PROCESS_BYTES = 500 << 20
"""What a process needs besides the model and the dense index: 410 MiB were measured with the bundled articles."""


def run_cases(
    assistant: Assistant,
    cases: Sequence[Case],
    progress: Progress,
    keep: Path | None = None,
    jobs: int = 1,
) -> list[Trial]:
    """Ask every case's question; return the trials in the order of the cases.

    With ``keep``, a folder, an interrupted run goes on where it was; ``jobs`` processes share the work and the
    cores. Raises RagError if the library is changed meanwhile.
    """
    known: dict[str, Trial] = {}
    for trial in trials_of(assistant, cases, keep, jobs):
        known[trial.case.id] = trial
        progress("examining cases", len(known), len(cases))
    return [known[case.id] for case in cases]


def trials_of(
    assistant: Assistant,
    cases: Sequence[Case],
    keep: Path | None = None,
    jobs: int = 1,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Generator[Trial]:
    """Yield the trials that an interrupted run left in ``keep``, then each other one as its question is answered.

    ``turn`` is entered for each question alone, for an assistant that others ask too. Raises RagError if the
    library is changed meanwhile.
    """
    with turn():
        journal, generation = Journal(keep, assistant, cases), assistant.library.generation
    with journal:
        left = [case for case in cases if case.id not in journal.known]
        yield from list(journal.known.values())
        asked = _asked_by(jobs, assistant, left) if jobs > 1 else _asked(assistant, left, turn)
        for trial in asked:
            if trial.answer.library_generation != generation:
                raise RagError(f"{assistant.library.folder}: changed during the examination; run it again")
            journal.add(trial)
            yield trial


def _asked(
    assistant: Assistant, cases: Sequence[Case], turn: Callable[[], AbstractContextManager[object]]
) -> Iterator[Trial]:
    for case in cases:
        with turn():
            trial = ask(assistant, case)
        yield trial


def ask(assistant: Assistant, case: Case) -> Trial:
    """Put a case's question to the assistant."""
    previous: list[str] = []
    for question in case.previous:
        previous.append(stand_alone(question, previous))
    answer = assistant.ask(case.question, previous=previous, article_ids=case.among)
    trial = Trial(case, answer)
    if not case.reference or trial.abstained:
        return trial
    one, other = assistant.encode([trial.said, case.reference])
    return replace(trial, similarity=round(float(one @ other), 4))


# several processes

_here: Assistant  # the assistant of a process that shares the work


def affordable_jobs(jobs: int, assistant: Assistant) -> int:
    """Return how many of ``jobs`` processes the free memory allows, at least one."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return jobs  # a system that does not tell
    files = [assistant.library.folder / "vectors.faiss"]
    if isinstance(assistant.model, ModelFile):
        files.append(assistant.model.path)
    each = _PROCESS_BYTES + sum(file.stat().st_size for file in files if file.exists())
    return max(1, min(jobs, free // each))


def _asked_by(jobs: int, assistant: Assistant, cases: Sequence[Case]) -> Iterator[Trial]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    start = (assistant.library.folder, assistant.model, max(1, (os.cpu_count() or 1) // jobs))
    context = multiprocessing.get_context("spawn")  # a fork after FAISS or llama.cpp ran can hang
    with ProcessPoolExecutor(jobs, context, _start, start) as pool:
        try:
            yield from pool.map(_ask_here, cases)
        except BrokenProcessPool as error:
            raise RagError("a process of the examination ended (too little memory?); use --jobs 1") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(folder: Path, model: Model, threads: int) -> None:
    global _here  # noqa: PLW0603 - one assistant a process
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from index.library import Library

    _here = Assistant(Library(folder), model)


def _ask_here(case: Case) -> Trial:
    return ask(_here, case)
