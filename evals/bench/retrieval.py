"""How well retrieval finds the chunk that answers: ``python -m evals.bench.retrieval DATA``.

DATA holds the public sets. All articles of a set are one library, a question's gold chunks are those that share text
with its answer. Questions are about articles that no weights were trained on: those for tuning are for deciding, those for
reporting for the figures. Prints a table of ways to search, and with --chunking one of ways to cut.
"""

from __future__ import annotations

import argparse
import functools
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import index.words
from evals.score import mrr, ndcg_at_k
from evals.uncertainty import bootstrap_mean
from index.chunk import CHUNK_PIECES, Chunk, chunk_article
from index.embed import QuestionEncoder, Vectors, chunk_vectors, count_pieces
from index.sentences import split_sentences
from index.vectors import Hit
from index.windows import embedding_text
from index.words import SCHEMA, add_words, search_words
from rag.reader import Reader
from rag.retrieve import READ, Found, fused, reranked
from rag.training.sets import Part, Pool, Question, read_pools

_DEPTH = 100
_BUDGET = 400  # word pieces read: what an answer is worded from
Ranking = Sequence[int]
"""Chunk numbers, best first."""


SETS = ("SelQA", "COVID-QA", "PolicyQA", "MedQuAD", "NQ")


def pools_of(data: Path, part: Part, questions: int, seed: int) -> list[Pool]:
    """Return, of each set, at most so many questions of a part, and a library that is larger than what they are about."""
    chance = random.Random(seed)
    pools = {pool.name: pool for pool in read_pools(data)}
    chosen = []
    for pool in (pools[name] for name in SETS):
        here = [q for q in pool.questions if q.spans and pool.part_of(q) == part]
        asked = chance.sample(here, min(questions, len(here)))
        about = {question.article_id for question in asked}
        others = [i for i in pool.articles if i not in about]
        more = chance.sample(others, min(len(others), 2 * questions))
        articles = {i: pool.articles[i] for i in [*sorted(about), *more]}
        chosen.append(Pool(pool.name, articles, asked))
    return chosen


# searching one way or another


class Searched:
    """A pool cut, embedded and searched: for each question the dense and the word ranking, and the gold chunks."""

    def __init__(self, pool: Pool, most: int, prefix: bool, overlap: int = 0) -> None:
        chunks = [
            chunk
            for article in pool.articles.values()
            for chunk in overlapping(article.text, chunk_article(article, count_pieces, most), overlap)
        ]
        texts = [embedding_text(chunk) if prefix else chunk.text for chunk in chunks]
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        vectors[order] = np.concatenate(list(chunk_vectors([texts[n] for n in order])))
        self.chunks, self.vectors, self.pool = chunks, vectors, pool
        self.pieces = count_pieces([chunk.text for chunk in chunks])
        self.gold = [self._gold(question) for question in pool.questions]
        asked = _encode(tuple(question.text for question in pool.questions))
        scores = asked @ vectors.T
        self.dense = [[(int(n), float(row[n])) for n in np.argsort(-row)[:_DEPTH]] for row in scores]
        self.words = self.by_words()

    def _gold(self, question: Question) -> set[int]:
        return {
            n
            for n, chunk in enumerate(self.chunks)
            if chunk.article_id == question.article_id
            and any(chunk.start < end and start < chunk.end for start, end in question.spans)
        }

    def by_words(self) -> list[list[tuple[int, float]]]:
        """Return each question's ranking by words."""
        database = sqlite3.connect(":memory:")
        database.executescript(SCHEMA)
        add_words(database, enumerate(self.chunks))
        return [
            [(hit.chunk_id, hit.score) for hit in search_words(database, question.text, _DEPTH, ())]
            for question in self.pool.questions
        ]


def overlapping(text: str, chunks: Sequence[Chunk], sentences: int) -> Iterator[Chunk]:
    """Yield an article's chunks, each with so many sentences before it in its section as well."""
    for before, chunk in zip([None, *chunks], chunks, strict=False):
        if sentences and before is not None and before.heading == chunk.heading:
            start = split_sentences(text, before.start, before.end)[-sentences:][0].start
            yield replace(chunk, start=start, text=text[start : chunk.end])
        else:
            yield chunk


@functools.cache
def _encode(texts: tuple[str, ...]) -> Vectors:
    return QuestionEncoder().encode(texts)


Scored = Sequence[tuple[int, float]]
Fuse = Callable[[Scored, Scored], Ranking]


def reciprocal(k: float, share: float, depth: int) -> Fuse:
    """Reciprocal rank fusion with constant ``k``; the dense ranking counts for ``share``, the words for the rest."""

    def fuse(dense: Scored, words: Scored) -> Ranking:
        fused: dict[int, float] = {}
        for part, ranking in ((share, dense), (1 - share, words)):
            for rank, (n, _) in enumerate(ranking[:depth], start=1):
                fused[n] = fused.get(n, 0.0) + part / (k + rank)
        return sorted(fused, key=lambda n: -fused[n])

    return fuse


def weighted(share: float, depth: int) -> Fuse:
    """The convex combination of scores, each scaled to [0, 1] over its ranking (Bruch et al., TOIS 2023)."""

    def fuse(dense: Scored, words: Scored) -> Ranking:
        fused: dict[int, float] = {}
        for part, ranking in ((share, dense[:depth]), (1 - share, words[:depth])):
            low, high = (ranking[-1][1], ranking[0][1]) if ranking else (0.0, 0.0)
            for n, score in ranking:
                fused[n] = fused.get(n, 0.0) + part * (score - low) / (high - low or 1.0)
        return sorted(fused, key=lambda n: -fused[n])

    return fuse


WAYS: dict[str, Fuse] = {
    "BM25": lambda dense, words: [n for n, _ in words],
    "dense": lambda dense, words: [n for n, _ in dense],
    **{
        f"RRF k={k:g}, dense {share:g}, {depth}": reciprocal(k, share, depth)
        for k, share, depth in (
            (60, 0.5, 20), (60, 0.5, 100), (20, 0.5, 20), (5, 0.5, 20), (60, 0.4, 20), (60, 0.6, 20)
        )
    },
    **{f"scores, dense {share:g}, {depth}": weighted(share, depth) for share, depth in ((0.3, 100), (0.5, 20), (0.5, 50), (0.5, 100), (0.7, 100))},
}  # fmt: skip


# scoring


def scores_of(searched: Searched, fuse: Fuse, most: int = _DEPTH) -> list[dict[str, float]]:
    """Return the scores of each question; an article has at most ``most`` chunks before all others come."""
    both = zip(searched.dense, searched.words, strict=True)
    return ranked_scores(searched, [_yielding(searched, fuse(dense, words), most) for dense, words in both])


def read_again(searched: Searched, reader: Reader, most: int) -> list[Ranking]:
    """Return each question's hybrid ranking, its first ``most`` in the order that the reader gives them."""
    rankings: list[Ranking] = []
    for question, dense, words in zip(searched.pool.questions, searched.dense, searched.words, strict=True):
        scores = fused([Hit(*hit) for hit in dense[:50]], [Hit(*hit) for hit in words[:50]])
        order = sorted(scores, key=lambda n: (-scores[n], n))
        found = [Found(n, searched.chunks[n], scores[n], None, None) for n in order[:most]]
        read = reranked([replace(one, read=reader.read(question.text, one.chunk)) for one in found])
        rankings.append([one.chunk_id for one in read] + order[most:])
    return rankings


def ranked_scores(searched: Searched, rankings: Sequence[Ranking]) -> list[dict[str, float]]:
    """Return the scores of each question's ranking."""
    found = []
    for ranking, gold in zip(rankings, searched.gold, strict=True):
        ids, wanted = list(map(str, ranking)), {str(n) for n in gold}
        hits = {f"recall@{k}": float(any(n in gold for n in ranking[:k])) for k in (1, 5, 10)}
        read = np.cumsum([searched.pieces[n] for n in ranking[:20]])
        inside: npt.NDArray[np.bool_] = read <= max(_BUDGET, int(read[0]) if len(read) else 0)
        hits[f"in {_BUDGET} pieces"] = float(
            any(n in gold for n, fits in zip(ranking, inside, strict=False) if fits)
        )
        found.append(hits | {"MRR": mrr(ids, wanted), "nDCG@10": ndcg_at_k(ids, wanted, 10)})
    return found


def _yielding(searched: Searched, ranking: Ranking, most: int) -> list[int]:
    """Put what an article has beyond its share behind the others."""
    seen: Counter[str] = Counter()
    first: list[int] = []
    later: list[int] = []
    for n in ranking:
        article_id = searched.chunks[n].article_id
        seen[article_id] += 1
        (first if seen[article_id] <= most else later).append(n)
    return first + later


def table(rows: dict[str, list[list[dict[str, float]]]], names: Sequence[str]) -> Iterator[str]:
    """Yield a Markdown table: a way each row, the mean over the sets, and each set's nDCG@10 with its interval."""
    metrics = [*next(iter(rows.values()))[0][0]]
    yield f"| way | {' | '.join(metrics)} | {' | '.join(f'nDCG@10 {name}' for name in names)} |"
    yield "|---" * (1 + len(metrics) + len(names)) + "|"
    for way, pools in rows.items():
        means = [
            np.mean([np.mean([case[metric] for case in cases]) for cases in pools]) for metric in metrics
        ]
        each = [bootstrap_mean([case["nDCG@10"] for case in cases]) for cases in pools]
        cells = [f"{m:.3f}" for m in means] + [f"{m.value:.3f} [{m.low:.3f}, {m.high:.3f}]" for m in each]
        yield f"| {way} | {' | '.join(cells)} |"


FIELD_WEIGHTS = (
    "0.0, 0.0, 1.0",
    "0.5, 0.75, 1.0",
    "1.0, 1.0, 1.0",
    "2.0, 2.0, 1.0",
    "1.0, 1.5, 2.0",
    "4.0, 4.0, 2.0",
)
"""Of title, heading and text in BM25; their size matters too, as it moves where a word's count is saturated."""


def _weighted_fields(searched: Sequence[Searched], weights: str) -> Iterator[list[dict[str, float]]]:
    """Yield each set's scores of the hybrid search with these weights."""
    used, index.words.FIELD_WEIGHTS = index.words.FIELD_WEIGHTS, weights
    for one in searched:
        one.words = one.by_words()
        yield scores_of(one, weighted(0.5, 50))
    index.words.FIELD_WEIGHTS = used


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.retrieval", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--half", choices=("choose", "report"), default="report")
    parser.add_argument("--questions", type=int, default=300, help="of each set")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--chunking", action="store_true", help="also other sizes of chunks, and no prefix")
    parser.add_argument(
        "--weights", action="store_true", help="also other weights of title, heading and text"
    )
    options = parser.parse_args()
    part: Part = "report" if options.half == "report" else "tune"
    pools = pools_of(options.data, part, options.questions, options.seed)
    names = [pool.name for pool in pools]
    searched = [Searched(pool, CHUNK_PIECES, True) for pool in pools]
    print(
        ", ".join(
            f"{s.pool.name}: {len(s.pool.questions)} questions, {len(s.chunks)} chunks" for s in searched
        )
    )
    print(
        "\n".join(table({way: [scores_of(s, fuse) for s in searched] for way, fuse in WAYS.items()}, names))
    )
    without_title = [Searched(pool, 256, False) for pool in pools]
    plain = {"plain MiniLM and FAISS, 256 pieces": [scores_of(s, WAYS["dense"]) for s in without_title]}
    print("\n".join([*table(plain, names)][2:]))
    reader = Reader()
    for most in (5, 10, 20) if options.half == "choose" else (READ,):
        scores = [ranked_scores(one, read_again(one, reader, most)) for one in searched]
        print("\n".join([*table({f"scores, dense 0.5, 50, the first {most} read": scores}, names)][2:]))
    if options.weights:
        best = weighted(0.5, 50)
        shares = {
            f"at most {most} of an article": [scores_of(s, best, most) for s in searched]
            for most in (1, 2, 3)
        }
        print("\n".join(table(shares, names)))
        print("\n".join(table({w: list(_weighted_fields(searched, w)) for w in FIELD_WEIGHTS}, names)))
    if options.chunking:
        hybrid = reciprocal(60, 0.5, 20)
        rows = {
            f"{most} pieces, {'with' if prefix else 'without'} title and heading": [
                scores_of(Searched(pool, most, prefix), hybrid) for pool in pools
            ]
            for most, prefix in ((64, True), (96, True), (128, True), (128, False), (192, True))
        }
        for sentences in (1, 2):
            rows[f"128 pieces, and {sentences} before"] = [
                scores_of(Searched(pool, CHUNK_PIECES, True, sentences), hybrid) for pool in pools
            ]
        print("\n".join(table(rows, names)))


if __name__ == "__main__":
    main()
