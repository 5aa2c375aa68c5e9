"""What searching costs in libraries of 10,000 to a million chunks: ``python -m evals.bench.scale DATA``.

DATA holds lost_in_the_middle_nq and medquad, whose sentences are put together at random into chunks, so that words are
as frequent as in real text; the questions are those of the first set. Vectors are synthetic: a mixture of 5,000 normal
distributions in 64 of the 384 dimensions, with noise in all; a question's is a stored one with noise, at a cosine of some 0.75.
``--peers`` also asks the words of FTS5 without a budget, and of tantivy and bm25s where they are installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpus.article import Article, Section
from index.chunk import Chunk
from index.database import insert_article, insert_chunks, raise_generation
from index.embed import DIMENSIONS, Vectors
from index.library import Library
from index.words import terms_of
from rag.retrieve import rank_chunks

_QUESTIONS = 200
_SENTENCES = 4  # a chunk
_PER_ARTICLE = 50
_BLOCK = 10_000  # chunks
_NQ = "lost_in_the_middle_nq/qa_data/nq-open-oracle.jsonl.gz"
_MEDQUAD = "medquad/medquad.jsonl.gz"


def read_texts(data: Path) -> tuple[list[str], list[str]]:
    """Return sentences and questions of the public sets."""
    with gzip.open(data / _NQ, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    texts = [record["ctxs"][0]["text"] for record in records]
    with gzip.open(data / _MEDQUAD, "rt", encoding="utf-8") as file:
        texts += [qa["answer"] or "" for line in file for qa in json.loads(line)["qas"]]
    sentences = [s for text in texts for s in re.split(r"(?<=[.!?])\s+", " ".join(text.split()))[:10]]
    questions = [record["question"] for record in records]
    return [s for s in sentences if 20 < len(s) < 400], random.Random(1).sample(questions, _QUESTIONS)


def vectors_of(block: int, size: int) -> Vectors:
    """Return the vectors of one block of chunks; the same for the same block."""
    fixed, chance = np.random.default_rng(0), np.random.default_rng(block + 1)
    basis = np.linalg.qr(fixed.standard_normal((DIMENSIONS, 64)))[0].T
    centres = fixed.standard_normal((5000, 64))
    inside = centres[chance.integers(0, 5000, size)] + 0.6 * chance.standard_normal((size, 64))
    return unit((inside @ basis + 0.25 * chance.standard_normal((size, DIMENSIONS))).astype(np.float32))


def unit(vectors: Vectors) -> Vectors:
    """Return the vectors at length 1."""
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def question_vectors(count: int) -> Vectors:
    """Return vectors near some of a library's."""
    chance = np.random.default_rng(7)
    near = vectors_of(0, min(count, _BLOCK))[chance.integers(0, min(count, _BLOCK), _QUESTIONS)]
    return unit(near + 0.9 * unit(chance.standard_normal(near.shape).astype(np.float32)))


def chunk_texts(sentences: Sequence[str], count: int) -> Iterator[str]:
    """Yield the texts of the chunks."""
    chance = random.Random(2)
    for _ in range(count):
        yield " ".join(chance.choices(sentences, k=_SENTENCES))


def build(folder: Path, sentences: Sequence[str], count: int) -> dict[str, float]:
    """Make a library of so many chunks; return seconds and megabytes."""
    began = time.perf_counter()
    texts = chunk_texts(sentences, count)
    with Library(folder) as library:
        for block in range(0, count, _BLOCK):
            size = min(_BLOCK, count - block)
            rows = [vector.tobytes() for vector in vectors_of(block // _BLOCK, size).astype(np.float16)]
            with library._database.writing() as connection:
                for first in range(block, block + size, _PER_ARTICLE):
                    _insert(
                        connection, first, [next(texts) for _ in range(_PER_ARTICLE)], rows[first - block :]
                    )
                raise_generation(connection, block + size + 1)
        stored = time.perf_counter()
        library.refresh()
    files = {name: (folder / name).stat().st_size / 1e6 for name in ("library.sqlite", "vectors.faiss")}
    return {
        "store, s": stored - began,
        "dense index, s": time.perf_counter() - stored,
        **{f"{name}, MB": size for name, size in files.items()},
    }


def _insert(connection: sqlite3.Connection, first: int, texts: list[str], vectors: list[bytes]) -> None:
    identity, chunks, start = f"a{first}", [], 0
    for number, text in enumerate(texts):
        place = (identity, number, f"Article {first}", "", start, start + len(text), text)
        chunks.append((first + number + 1, Chunk(*place)))
        start += len(text) + 2
    body = "\n\n".join(texts)
    insert_article(
        connection, Article(identity, f"Article {first}", identity, body, (Section("", 0, len(body)),))
    )
    insert_chunks(connection, chunks, vectors[: len(chunks)])


def measure(folder: Path, questions: Sequence[str]) -> dict[str, float]:
    """Search a library, and return milliseconds, recall and the memory of this process."""
    with Library(folder) as library:
        count = library.chunk_count()
        vectors = question_vectors(count)
        began = time.perf_counter()
        rank_chunks(library, questions[0], vectors[0], 5)
        found = {"first search, ms": (time.perf_counter() - began) * 1000}
        pairs = list(zip(questions, vectors, strict=True))
        found |= _times("dense", lambda pair: library.search_dense(pair[1], 20), pairs)
        found |= _times("words", lambda pair: library.search_words(pair[0], 20), pairs)
        found |= _times("hybrid", lambda pair: rank_chunks(library, pair[0], pair[1], 5), pairs)
        found["resident, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        dense = [{hit.chunk_id for hit in library.search_dense(vector, 10)} for vector in vectors]
    exact = _exact(vectors, count)
    found["dense recall@10"] = statistics.fmean(len(a & b) / 10 for a, b in zip(dense, exact, strict=True))
    return found


def _times(name: str, search: Callable[[Any], object], pairs: Sequence[Any]) -> dict[str, float]:
    times = []
    for pair in pairs:
        began = time.perf_counter()
        search(pair)
        times.append((time.perf_counter() - began) * 1000)
    return {
        f"{name} p50, ms": float(np.percentile(times, 50)),
        f"{name} p95, ms": float(np.percentile(times, 95)),
    }


def _exact(vectors: Vectors, count: int) -> list[set[int]]:
    """Return each question's ten nearest chunks by comparing all, a block at a time."""
    scores, ids = np.full((len(vectors), 10), -2.0), np.zeros((len(vectors), 10), dtype=np.int64)
    for block in range(0, count, _BLOCK):
        here = vectors_of(block // _BLOCK, min(_BLOCK, count - block)).astype(np.float16).astype(np.float32)
        scores = np.concatenate([scores, vectors @ here.T], axis=1)
        ids = np.concatenate(
            [ids, np.tile(np.arange(block + 1, block + 1 + len(here)), (len(vectors), 1))], axis=1
        )
        best = np.argsort(-scores, axis=1)[:, :10]
        scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
    return [set(map(int, row)) for row in ids]


def peers(folder: Path, sentences: Sequence[str], questions: Sequence[str], count: int) -> dict[str, float]:
    """Return what other full-text searches take over the same texts."""
    found = _all_words(folder, questions)
    for name, ask in (("tantivy", _tantivy), ("bm25s", _bm25s)):
        try:
            began = time.perf_counter()
            search = ask(folder / name, chunk_texts(sentences, count))
        except ImportError:
            continue
        found[f"{name} build, s"] = time.perf_counter() - began
        found |= _times(name, search, questions)
    return found


def _all_words(folder: Path, questions: Sequence[str]) -> dict[str, float]:
    database = sqlite3.connect(folder / "library.sqlite")
    query = "SELECT rowid, bm25(words, 1.0, 1.5, 2.0) AS s FROM words WHERE words MATCH ? ORDER BY s LIMIT 20"

    def search(question: str) -> object:
        match = " OR ".join(f'"{term}"' for term in terms_of(question))
        return database.execute(query, (match,)).fetchall()

    return _times("FTS5 without a budget", search, questions)


def _tantivy(folder: Path, texts: Iterator[str]) -> Callable[[str], object]:
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_integer_field("id", stored=True)
    schema.add_text_field("text", stored=False, tokenizer_name="en_stem")
    folder.mkdir()
    index = tantivy.Index(schema.build(), path=str(folder))
    writer = index.writer(heap_size=128_000_000, num_threads=1)
    for number, text in enumerate(texts):
        writer.add_document(tantivy.Document(id=number, text=text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(question: str) -> object:
        hits = searcher.search(
            index.parse_query(" ".join(terms_of(question)), ["text"]), 20, count=False
        ).hits
        return [searcher.doc(address)["id"] for _, address in hits]

    return search


def _bm25s(_: Path, texts: Iterator[str]) -> Callable[[str], object]:
    import bm25s
    import Stemmer

    settings: dict[str, Any] = {
        "stopwords": "en",
        "stemmer": Stemmer.Stemmer("english"),
        "show_progress": False,
    }
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), **settings), show_progress=False)
    return lambda question: index.retrieve(bm25s.tokenize(question, **settings), k=20, show_progress=False)


def main() -> None:
    """Build each library, and measure it in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.scale", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--chunks", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peers", action="store_true", help="also other full-text searches")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sentences, questions = read_texts(options.data)
    if options.measure:
        print(json.dumps(measure(options.measure, questions)))
        return
    for count in options.chunks:
        with tempfile.TemporaryDirectory() as scratch:
            found = build(Path(scratch), sentences, count)
            again = [sys.executable, "-m", "evals.bench.scale", str(options.data), "--measure", scratch]
            found |= json.loads(subprocess.run(again, capture_output=True, text=True, check=True).stdout)
            if options.peers:
                found |= peers(Path(scratch), sentences, questions, count)
        print(f"{count:,} chunks")
        print("\n".join(f"  {name:32}{value:12.3f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
