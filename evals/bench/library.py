"""What taking articles in costs: reading each format, building a large library, changing it.

Files of each format are made of the bundled articles. The large library's articles are the bundled ones
over and over, each time with the words of every sentence in another order, so that all chunks are new.
``--folder`` keeps the library: a run that is interrupted goes on from there when repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import index.embed
from corpus.article import Article
from corpus.readers import bundled_articles, parse_article, read_articles
from evals.bench.samples import MAKERS
from index.embed import BUNDLED, QuestionEncoder, Vectors
from index.embedder import Embedder
from index.library import Library

_SECONDS = 5.0


def show_progress(stage: str, done: int, total: int) -> None:
    """Show how far ``stage`` is, on one line."""
    print(f"\r{stage} {done}/{total}", end="", file=sys.stderr, flush=True)


def reading(suffix: str) -> float:
    """Return how many articles of one format are read in a second, in this process."""
    articles = list(read_articles(bundled_articles()))
    files = [
        MAKERS[suffix](a.title, [(s.heading, a.text[s.start : s.end]) for s in a.sections]) for a in articles
    ]
    path = Path(f"a{suffix}")
    parse_article(files[0], path)
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < _SECONDS:
        parse_article(files[count % len(files)], path)
        count += 1
    return count / passed


def shuffled(number: int, articles: Sequence[Article]) -> Article:
    """Return the article ``number``, as long as a bundled one."""
    article = articles[number % len(articles)]
    chance = random.Random(number)
    paragraphs = [paragraph.split() for paragraph in article.text.split("\n\n")]
    for words in paragraphs:
        chance.shuffle(words)
    text = f"# {article.title}\n\n" + "\n\n".join(" ".join(words) for words in paragraphs)
    return replace(parse_article(text.encode(), Path(f"/shuffled/{number}.md")), id=str(number))


class EmbeddingClock:
    """Takes the time that embedding takes, to tell the library's own part from it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._real = index.embed.chunk_vectors
        index.embed.chunk_vectors = self._timed

    def _timed(self, texts: Sequence[str], embedder: Embedder = BUNDLED) -> Iterator[Vectors]:
        began = time.perf_counter()
        for batch in self._real(texts, embedder):
            self.seconds += time.perf_counter() - began
            yield batch
            began = time.perf_counter()
        self.seconds += time.perf_counter() - began


def large(folder: Path, chunks: int) -> dict[str, float]:
    """Build a library of about ``chunks`` chunks and change it; return seconds, MiB and chunks."""
    articles = list(read_articles(bundled_articles()))
    clock = EmbeddingClock()
    found: dict[str, float] = {}
    with Library(folder) as library:
        count = chunks // 16
        began, passed = time.perf_counter(), [0]

        def come() -> Iterator[Article]:
            for number in range(count):
                passed[0] += 1
                yield shuffled(number, articles)

        library.add(come(), show_progress, lambda: passed[0] / count)
        library.refresh()
        found["build, s"] = time.perf_counter() - began
        found["of that embedding, s"] = clock.seconds
        found["chunks"] = library.chunk_count()
        found["peak memory, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        new = [shuffled(number, articles) for number in range(count, count + 5)]
        found["add one article besides its embedding, s"] = _median(library, clock, new)
        edited = [replace(a, source=f"/shuffled/{n}.md", title="Edited") for n, a in enumerate(new)]
        found["replace one article besides its embedding, s"] = _median(library, clock, edited)
        found["remove one article, s"] = _timed_removal(library, str(count))
    found.update(_opened(folder))
    return found


def _median(library: Library, clock: EmbeddingClock, articles: Sequence[Article]) -> float:
    times = []
    for article in articles:
        began, clock.seconds = time.perf_counter(), 0.0
        library.add([article], show_progress)
        times.append(time.perf_counter() - began - clock.seconds)
    return statistics.median(times)


def _timed_removal(library: Library, article_id: str) -> float:
    began = time.perf_counter()
    library.remove([article_id], show_progress)
    return time.perf_counter() - began


def _opened(folder: Path) -> dict[str, float]:
    """Open the library with its changes not yet in the dense index's file, and search it twice."""
    vector = QuestionEncoder().encode(["Who leads the lab?"])[0]
    times = []
    with Library(folder) as library:
        for _ in range(2):
            began = time.perf_counter()
            library.search_dense(vector, 20)
            library.search_words("Who leads the lab?", 20)
            times.append(time.perf_counter() - began)
    return {"first search after opening, s": times[0], "next search, s": times[1]}


def main() -> None:
    """Run the measurements that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.library", description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000, help="chunks of the large library; 0 for none")
    parser.add_argument("--folder", type=Path, help="where the large library is kept (default: nowhere)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {f"read {suffix}, articles/s": reading(suffix) for suffix in MAKERS}
    if options.chunks:
        with tempfile.TemporaryDirectory() as scratch:
            found.update(large(options.folder or Path(scratch), options.chunks))
    print(
        json.dumps(found, indent=2)
        if options.json
        else "\n".join(f"{k:46}{v:12,.3f}" for k, v in found.items())
    )


if __name__ == "__main__":
    main()
