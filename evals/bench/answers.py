"""How fast answers come: ``python -m evals.bench.answers [--library DIR]``.

Over the questions of the bundled articles' FAQ, with the bundled model: the parts of a warm answer, a cold ``rag ask`` from
the start of its process to its end, the model beside bare llama.cpp reading and writing the same tokens, and how soon
an answer stops. Medians; run it alone on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import Stopped
from corpus.readers import bundled_articles, read_articles
from evals.examination import faq_cases
from index.embed import set_offline
from index.library import Library
from rag.answer import Answer
from rag.assistant import Assistant, fill_if_empty
from rag.generate import Generator
from rag.models import ModelFile, find_model
from rag.steps import Tell

_COLD_RUNS = 5
_BARE_RUNS = 3
_MOMENTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)


def _milliseconds(run: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    run(*arguments)
    return (time.perf_counter() - began) * 1000


def warm(assistant: Assistant, questions: Sequence[str]) -> Iterator[str]:
    """Yield the medians of the parts of an answer."""
    answers = [assistant.ask(question) for question in questions]
    given = [answer for answer in answers if answer.status == "answered"]

    def median(part: Callable[[Answer], float], among: Sequence[Answer] = given) -> float:
        return statistics.median(map(part, among))

    yield f"{len(given)} of {len(questions)} questions answered; medians over them"
    yield f"found and read      {median(lambda a: a.timings.retrieve_ms):6.0f} ms"
    yield f"first sentence      {median(lambda a: a.timings.first_sentence_ms):6.0f} ms"
    yield f"whole answer        {median(lambda a: a.timings.total_ms):6.0f} ms"
    yield f"abstaining          {median(lambda a: a.timings.total_ms, [a for a in answers if a not in given]):6.0f} ms"
    yield f"prompt tokens       {median(lambda a: a.timings.prompt_tokens):6.0f}, of them cached {median(lambda a: a.timings.cached_tokens):.0f}"
    yield f"written tokens      {median(lambda a: a.timings.completion_tokens):6.0f}"


_UNTIL = """
import importlib, os, sys
module, kind, step = sys.argv.pop(1).split()
setattr(getattr(importlib.import_module(module), kind), step, lambda *_: os._exit(0))
from ui.cli import main
sys.exit(main() or "it never came to that")
"""


def cold(library: Path, question: str) -> Iterator[str]:
    """Yield the medians of a whole ``rag ask`` from the start of its process, and of the time until it reads."""
    asked = ["--library", str(library), "ask", question]

    def median(*command: str) -> float:
        def run() -> None:
            subprocess.run([*command, *asked], check=True, stdout=subprocess.DEVNULL)

        run()  # warms the files
        return statistics.median(_milliseconds(run) for _ in range(_COLD_RUNS))

    yield f"cold rag ask        {median(str(Path(sys.executable).parent / 'rag')):6.0f} ms"
    steps = {"the reader": "rag.reader Reader read", "the model": "rag.generate Generator stream"}
    for who, step in steps.items():
        yield f"until {who} reads {median(sys.executable, '-c', _UNTIL, step):6.0f} ms"


def beside_bare(generator: Generator, prompts: Sequence[tuple[str, str]]) -> str:
    """Return the time of our stream as a share of bare llama.cpp's for the same tokens, each from an empty cache."""
    ours, bare = [], []
    for system, user in prompts:
        for _ in range(_BARE_RUNS):
            forget(generator)
            ours.append(_milliseconds(_write, generator, system, user))
            prompt, written = generator.prompt_of(system, user), generator.completion_tokens
            forget(generator)
            bare.append(_milliseconds(_bare, generator, prompt, written))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return f"model               {statistics.median(ours):6.0f} ms, {ratio:.2f} of bare llama.cpp's {statistics.median(bare):.0f} ms"


def forget(generator: Generator) -> None:
    """Empty the model's cache."""
    generator._llama.reset()
    generator._llama._ctx.kv_cache_clear()


def _write(generator: Generator, system: str, user: str) -> None:
    for _ in generator.stream(system, user):
        pass


def _bare(generator: Generator, prompt: Sequence[int], written: int) -> None:
    """Read the prompt and write so many tokens with nothing but llama.cpp's own calls."""
    import llama_cpp

    batch, context = generator._llama._batch, generator._llama._ctx
    batch.set_batch(list(prompt), n_past=0, logits_all=False)
    context.decode(batch)
    sampler = llama_cpp.llama_sampler_init_greedy()
    for n in range(written):
        token = llama_cpp.llama_sampler_sample(sampler, context.ctx, -1)
        batch.set_batch([token], n_past=len(prompt) + n, logits_all=False)
        context.decode(batch)
    llama_cpp.llama_sampler_free(sampler)


def stopping(assistant: Assistant, question: str) -> str:
    """Return how long an answer takes to end once it is told to, at many moments of it."""
    whole = _milliseconds(assistant.ask, question) / 1000
    took = [_time_to_stop(assistant, question, moment * whole) for moment in _MOMENTS]
    return f"stops within        {max(took):6.0f} ms at most, over {len(took)} moments of an answer"


def _time_to_stop(assistant: Assistant, question: str, delay: float) -> float:
    """Return the milliseconds from the call to the answer's end."""
    ended: list[float] = []

    def run() -> None:
        with contextlib.suppress(Stopped):
            assistant.ask(question)
        ended.append(time.perf_counter())

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(delay)
    told = time.perf_counter()
    assistant.stop()
    thread.join()
    return max(0.0, ended[0] - told) * 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.answers", description=__doc__)
    parser.add_argument("--library", type=Path, help="else a fresh one of the bundled articles")
    parser.add_argument("--model", help="the bundled one, or a GGUF file")
    options = parser.parse_args()
    set_offline()
    with tempfile.TemporaryDirectory() as folder, Library(options.library or Path(folder)) as library:
        fill_if_empty(library, lambda *_: None, lambda _: None)
        model = find_model(options.model)
        if not isinstance(model, ModelFile):
            parser.error("a remote model's speed is its server's; name a GGUF file")
        assistant = Assistant(library, model)
        questions = [case.question for case in faq_cases(library, list(read_articles(bundled_articles())))]
        prompts: list[tuple[str, str]] = []
        stream = Generator.stream

        def recorded(
            self: Generator, system: str, user: str, tell: Tell = lambda step: None
        ) -> Iterator[str]:
            prompts.append((system, user))
            return stream(self, system, user, tell)

        Generator.stream = recorded  # type: ignore[method-assign]
        print("\n".join(warm(assistant, questions)), flush=True)
        Generator.stream = stream  # type: ignore[method-assign]
        for line in cold(library.folder, questions[0]):
            print(line, flush=True)
        generator = Generator(model)
        print(beside_bare(generator, prompts[:10]), flush=True)
        print(stopping(assistant, questions[0]))


if __name__ == "__main__":
    main()
