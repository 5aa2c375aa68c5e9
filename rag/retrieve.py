"""Question -> ranked passages: dense and full-text candidates, fused by reciprocal rank."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from index.chunk import Chunk
from index.embed import Vectors
from index.library import Library
from index.vectors import Hit
from index.words import terms_of
from rag.answer import Passage
from rag.check import stem

TOP_K = 5
_CANDIDATES = 20
_RRF_K = 60.0
_SAME_SHARE = 0.8  # of two chunks' words together (Jaccard), from which one repeats the other


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk that was found, and why: its place and score in the dense and the full-text search, where it is in them.

    Ranks count from 1. ``score`` is reciprocal rank fusion (Cormack et al., SIGIR 2009), as a share of the best possible.
    """

    chunk: Chunk
    score: float
    dense: tuple[int, float] | None
    words: tuple[int, float] | None

    def matched(self, question: str) -> list[str]:
        """Return the question's words that the chunk, its heading or its article's title has."""
        chunk = self.chunk
        given = {stem(term) for term in terms_of(f"{chunk.title} {chunk.heading} {chunk.text}")}
        return [term for term in terms_of(question) if stem(term) in given]


def retrieve(
    library: Library, question: str, vector: Vectors, top_k: int = TOP_K, article_ids: tuple[str, ...] = ()
) -> list[Passage]:
    """Return the ``top_k`` passages for a question, best first, numbered from 1."""
    with library.snapshot():
        found = rank_chunks(library, question, vector, top_k, article_ids)
        sources = library.sources(f.chunk.article_id for f in found)
    return [_passage(n, f, sources[f.chunk.article_id]) for n, f in enumerate(found, start=1)]


def rank_chunks(
    library: Library, question: str, vector: Vectors, top_k: int, article_ids: tuple[str, ...] = ()
) -> list[Found]:
    """Return the ``top_k`` chunks for a question, best first, without those that nearly repeat a better one."""
    with library.snapshot():
        candidates = max(_CANDIDATES, top_k)
        dense = _ranked(library.search_dense(vector, candidates, article_ids))
        words = _ranked(library.search_words(question, candidates, article_ids))
        chunks = library.chunks([*dense.keys() | words.keys()])
    places = {i: (dense.get(i), words.get(i)) for i in sorted(chunks)}
    fused = [Found(chunks[i], _fused(*place), *place) for i, place in places.items()]
    fused.sort(key=lambda found: -found.score)
    return [replace(f, score=round(f.score, 4)) for f in itertools.islice(_distinct(fused), top_k)]


def _ranked(hits: Iterable[Hit]) -> dict[int, tuple[int, float]]:
    """Return each chunk's rank and score."""
    return {hit.chunk_id: (rank, hit.score) for rank, hit in enumerate(hits, start=1)}


def _fused(*places: tuple[int, float] | None) -> float:
    best = len(places) / (_RRF_K + 1.0)
    return sum(1.0 / (_RRF_K + place[0]) for place in places if place) / best


def _distinct(ranked: list[Found]) -> Iterator[Found]:
    """Pass over what nearly repeats a better chunk, as copies and new editions of an article do."""
    kept: list[set[str]] = []
    for found in ranked:
        words = set(terms_of(found.chunk.text))
        if not any(len(words & other) >= _SAME_SHARE * len(words | other) for other in kept):
            kept.append(words)
            yield found


def _passage(number: int, found: Found, source: str) -> Passage:
    chunk = found.chunk
    place = (chunk.article_id, chunk.title, source, chunk.heading)
    return Passage(number, *place, chunk.text, chunk.start, chunk.end, found.score)
