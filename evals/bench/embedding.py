"""Chunks embedded in a second, by ``TorchEncoder`` and by sentence-transformers as it comes.

The texts are what is embedded of the bundled articles' chunks, as often as it takes; each time around,
a chunk's text begins a word later and ends with the words left out, so that no two texts are the same
and their lengths vary as real ones do. Both see all of them in one order, by length, and take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import count, islice

import numpy as np

from corpus.readers import bundled_articles, read_articles
from index.chunk import Chunk, chunk_article
from index.embed import TorchEncoder, Vectors, count_pieces, verified_embedder
from index.windows import embedding_text

Encode = Callable[[list[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured; ``ratio`` is of ours to plain within a round, speeds are medians in chunks/s."""

    chunks: int
    pieces: int
    """Median word pieces of a text."""
    plain: float
    ours: float
    ratio: float
    ratio_min: float
    ratio_max: float
    lowest_cosine: float
    bfloat16: bool
    processor: str
    versions: dict[str, str]


def varied_texts(wanted: int) -> list[str]:
    """Return this many distinct texts of the bundled articles' chunks, by length."""
    chunks = [
        c for article in read_articles(bundled_articles()) for c in chunk_article(article, count_pieces)
    ]
    texts = (embedding_text(_turned(chunk, words)) for words in count() for chunk in chunks)
    distinct = dict.fromkeys(islice(texts, 2 * wanted))
    return sorted(list(distinct)[:wanted], key=len)


def _turned(chunk: Chunk, words: int) -> Chunk:
    split = chunk.text.split()
    turn = words % len(split)
    return replace(chunk, text=" ".join(split[turn:] + split[:turn]))


def compare(chunks: int, rounds: int) -> Comparison:
    """Embed the texts in ``rounds`` turns of each; the first batch of each goes untimed."""
    import torch

    texts = varied_texts(chunks)
    embedder = TorchEncoder()
    ways: tuple[Encode, Encode] = (_plain(), lambda texts: np.concatenate(list(embedder.encode(texts))))
    for encode in ways:
        encode(texts[-32:])
    seconds: list[tuple[float, float]] = []
    for _ in range(rounds):
        (plain_seconds, plain), (our_seconds, ours) = (_timed(encode, texts) for encode in ways)
        seconds.append((plain_seconds, our_seconds))
    ratios = [plain_seconds / our_seconds for plain_seconds, our_seconds in seconds]
    plain_median, our_median = (statistics.median(times) for times in zip(*seconds, strict=True))
    return Comparison(
        chunks=len(texts),
        pieces=int(statistics.median(count_pieces(texts))),
        plain=len(texts) / plain_median,
        ours=len(texts) / our_median,
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        lowest_cosine=float((plain * ours).sum(axis=1).min()),
        bfloat16=embedder.bfloat16,
        processor=torch.backends.cpu.get_cpu_capability(),
        versions={name: version(name) for name in ("torch", "sentence-transformers")},
    )


def _plain() -> Encode:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(verified_embedder()), device="cpu", local_files_only=True)
    return lambda texts: np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))


def _timed(encode: Encode, texts: list[str]) -> tuple[float, Vectors]:
    start = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - start, vectors


def _table(found: Comparison) -> str:
    kind = "bfloat16" if found.bfloat16 else "float32"
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    return "\n".join(
        (
            f"{found.chunks} chunks, {found.pieces} word pieces in the median; {found.processor}; {versions}",
            f"{'sentence-transformers as it comes':36}{found.plain:8.1f} chunks/s",
            f"{f'TorchEncoder, in {kind}':36}{found.ours:8.1f} chunks/s",
            f"{'ratio':36}{found.ratio:8.2f} ({found.ratio_min:.2f} to {found.ratio_max:.2f})",
            f"{'lowest cosine between the two':36}{found.lowest_cosine:8.5f}",
        )
    )


def main() -> None:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.embedding", description=__doc__)
    parser.add_argument("--chunks", type=int, default=1000, help="texts to embed (default: 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = compare(arguments.chunks, arguments.rounds)
    print(json.dumps(asdict(found), indent=2) if arguments.json else _table(found))


if __name__ == "__main__":
    main()
