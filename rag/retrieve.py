"""Question -> ranked passages: dense and full-text candidates, fused by reciprocal rank."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from index.chunk import Chunk
from index.embed import Vectors
from index.library import Library
from index.vectors import Hit
from index.words import terms_of
from rag.answer import Passage

TOP_K = 5
_CANDIDATES = 20
_RRF_K = 60.0
_SAME_SHARE = 0.8  # of two chunks' words together (Jaccard), from which one repeats the other


def retrieve(
    library: Library, question: str, vector: Vectors, top_k: int = TOP_K, article_ids: tuple[str, ...] = ()
) -> list[Passage]:
    """Return the ``top_k`` passages for a question, best first, numbered from 1.

    Scores are reciprocal rank fusion (Cormack et al., SIGIR 2009), as a share of the best possible.
    """
    with library.snapshot():
        return _retrieve(library, question, vector, top_k, article_ids)


def _retrieve(
    library: Library, question: str, vector: Vectors, top_k: int, article_ids: tuple[str, ...]
) -> list[Passage]:
    candidates = max(_CANDIDATES, top_k)
    dense = library.search_dense(vector, candidates, article_ids)
    words = library.search_words(question, candidates, article_ids)
    fused: dict[int, float] = {}
    hits: list[Hit]
    for hits in (dense, words):
        for rank, hit in enumerate(hits, start=1):
            fused[hit.chunk_id] = fused.get(hit.chunk_id, 0.0) + 1.0 / (_RRF_K + rank)
    ranked = sorted(fused, key=lambda chunk_id: (-fused[chunk_id], chunk_id))
    chunks = library.chunks(ranked)
    best = list(itertools.islice(_distinct(ranked, chunks), top_k))
    sources = library.sources(chunks[chunk_id].article_id for chunk_id in best)
    scale = (_RRF_K + 1.0) / 2.0
    passages = [_passage(chunks[i], sources[chunks[i].article_id], fused[i] * scale) for i in best]
    return [replace(passage, number=number) for number, passage in enumerate(passages, start=1)]


def _distinct(ranked: list[int], chunks: dict[int, Chunk]) -> Iterator[int]:
    """Pass over what nearly repeats a better chunk, as copies and new editions of an article do."""
    kept: list[set[str]] = []
    for chunk_id in ranked:
        words = set(terms_of(chunks[chunk_id].text))
        if not any(len(words & other) >= _SAME_SHARE * len(words | other) for other in kept):
            kept.append(words)
            yield chunk_id


def _passage(chunk: Chunk, source: str, score: float) -> Passage:
    place = (chunk.article_id, chunk.title, source, chunk.heading)
    return Passage(0, *place, chunk.text, chunk.start, chunk.end, round(score, 4))
