"""Which quantization of the bundled model: ``python -m evals.bench.quantization [--library DIR]``.

Each is made from the shipped Q4_1 file. Over the FAQ of the bundled articles: tokens a second, read and written, with
every quantization in turn for each prompt; and the answers: key facts, and the share of sentences in the
model's own words (the others are quotes, shown where the model's sentence did not pass the check). Run it alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from corpus.readers import bundled_articles, read_articles
from evals.bench.answers import forget
from evals.cases import Case
from evals.examination import faq_cases
from evals.score import fact_recall
from index.embed import set_offline
from index.library import Library
from index.weights import sha256_of
from rag.assistant import Assistant, fill_if_empty
from rag.generate import Generator
from rag.models import ModelFile, requantize
from rag.prompt import SYSTEM, user_message

KINDS = ("Q4_0", "Q4_1", "Q5_0", "Q8_0", "F16")
_PROMPTS = 20
_WRITTEN = 32


class Speed(NamedTuple):
    """Tokens a second."""

    read: float
    written: float


def quantized(folder: Path, kind: str) -> ModelFile:
    """Return the bundled model in another quantization."""
    path = folder / f"{kind}.gguf"
    requantize(path, kind)
    return ModelFile(kind, path, sha256_of(path))


def speed_of(generator: Generator, prompt: Sequence[int]) -> Speed:
    """Return the speed of reading a prompt from an empty cache, and of writing 32 tokens behind it."""
    llama = generator._llama
    forget(generator)
    began = time.perf_counter()
    llama.eval(list(prompt))
    read = time.perf_counter()
    for _ in range(_WRITTEN):
        llama.eval([llama.sample(temp=0.0)])
    return Speed(len(prompt) / (read - began), _WRITTEN / (time.perf_counter() - read))


def answers_of(library: Library, model: ModelFile, cases: Sequence[Case]) -> tuple[float, float]:
    """Return the mean share of key facts, and of sentences in the model's own words."""
    assistant = Assistant(library, model)
    answers = [assistant.ask(case.question) for case in cases]
    recalls = [fact_recall(a.answer, c.facts) for a, c in zip(answers, cases, strict=True)]
    worded = [s.support == "supported" for answer in answers for s in answer.sentences]
    return statistics.mean(r for r in recalls if r is not None), statistics.mean(worded)


def prompts_of(library: Library, model: ModelFile, cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Return the prompts of as many questions, each with its four passages whole."""
    assistant = Assistant(library, model)
    answers = [assistant.ask(case.question, quotes_only=True) for case in cases[:_PROMPTS]]
    return [(SYSTEM, user_message(answer.question, list(answer.passages))) for answer in answers]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.quantization", description=__doc__)
    parser.add_argument("--library", type=Path, help="else a fresh one of the bundled articles")
    options = parser.parse_args()
    set_offline()
    with tempfile.TemporaryDirectory() as folder, Library(options.library or Path(folder)) as library:
        fill_if_empty(library, lambda *_: None, lambda _: None)
        cases = faq_cases(library, list(read_articles(bundled_articles())))
        models = [quantized(Path(folder), kind) for kind in KINDS]
        generators = {model.name: Generator(model) for model in models}
        speeds: dict[str, list[Speed]] = {kind: [] for kind in KINDS}
        for system, user in prompts_of(library, models[0], cases):
            for kind, generator in generators.items():
                speeds[kind].append(speed_of(generator, generator.prompt_of(system, user)))
        print("| kind | MB | tokens/s read | tokens/s written | key facts | in its own words |")
        print("|---|---|---|---|---|---|")
        for model in models:
            read, written = (statistics.median(column) for column in zip(*speeds[model.name], strict=True))
            facts, worded = answers_of(library, model, cases)
            size = model.path.stat().st_size / 1e6
            print(
                f"| {model.name} | {size:.0f} | {read:.0f} | {written:.0f} | {facts:.2f} | {worded:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
