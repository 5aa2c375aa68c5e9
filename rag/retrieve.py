"""Question -> ranked passages: dense and full-text candidates, fused by reciprocal rank."""

from __future__ import annotations

from dataclasses import replace

from index.chunk import Chunk
from index.embed import Vectors
from index.library import Library
from index.vectors import Hit
from rag.answer import Passage

TOP_K = 5
_CANDIDATES = 20
_RRF_K = 60.0


def retrieve(
    library: Library, question: str, vector: Vectors, top_k: int = TOP_K, article_ids: tuple[str, ...] = ()
) -> list[Passage]:
    """Return the ``top_k`` passages for a question, best first, numbered from 1.

    Scores are reciprocal rank fusion (Cormack et al., SIGIR 2009), as a share of the best possible.
    """
    dense = library.search_dense(vector, _CANDIDATES, article_ids)
    words = library.search_words(question, _CANDIDATES, article_ids)
    fused: dict[int, float] = {}
    hits: list[Hit]
    for hits in (dense, words):
        for rank, hit in enumerate(hits, start=1):
            fused[hit.chunk_id] = fused.get(hit.chunk_id, 0.0) + 1.0 / (_RRF_K + rank)
    best = sorted(fused, key=lambda chunk_id: (-fused[chunk_id], chunk_id))[:top_k]
    chunks = library.chunks(best)
    sources = library.sources(chunk.article_id for chunk in chunks.values())
    scale = (_RRF_K + 1.0) / 2.0
    passages = [_passage(chunks[i], sources[chunks[i].article_id], fused[i] * scale) for i in best]
    return [replace(passage, number=number) for number, passage in enumerate(passages, start=1)]


def _passage(chunk: Chunk, source: str, score: float) -> Passage:
    place = (chunk.article_id, chunk.title, source, chunk.heading)
    return Passage(0, *place, chunk.text, chunk.start, chunk.end, round(score, 4))
