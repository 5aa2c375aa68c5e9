"""Question -> ranked passages: dense and full-text candidates, fused by their scores, the first of them read.

Which fusion, how deep, and that neighbours merge was decided by evals/bench/retrieval.py over public sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from index.chunk import CHUNK_PIECES, Chunk
from index.embed import Vectors, count_pieces
from index.library import Library
from index.vectors import Hit
from index.words import terms_of
from rag.answer import Passage
from rag.check import stem, stems_of
from rag.logistic import fitted
from rag.reader import ReadSentence
from rag.steps import Step, Tell

TOP_K = 5
_CANDIDATES = 50
READ = 10
"""Chunks that the reader reads for a question."""
_BATCH = 12  # chunks read at a time
_SAME_SHARE = 0.8  # of two chunks' words together (Jaccard), from which one repeats the other


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk that was found, and why: its place and score in the dense and the full-text search, where it is in them.

    Ranks count from 1. ``score`` is the mean of both scores, each scaled to [0, 1] over what that search found (the
    convex combination of Bruch et al., TOIS 2023), and once the chunk was ``read`` the odds that it answers.
    """

    chunk_id: int
    chunk: Chunk
    score: float
    dense: tuple[int, float] | None
    words: tuple[int, float] | None
    read: tuple[ReadSentence, ...] = ()

    def matched(self, question: str) -> list[str]:
        """Return the question's words that the chunk, its heading or its article's title has."""
        chunk = self.chunk
        given = stems_of(f"{chunk.title} {chunk.heading} {chunk.text}")
        return [term for term in terms_of(question) if stem(term) in given]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A passage with what it is judged by: the cosine of its best chunk and the question, and its sentences as read."""

    passage: Passage
    similarity: float
    read: tuple[ReadSentence, ...]


Read = Callable[[str, Chunk], tuple[ReadSentence, ...]]
"""(question, chunk) -> the chunk's sentences with their scores, as ``Reader.read`` gives them."""


def retrieve(
    library: Library,
    question: str,
    vector: Vectors,
    top_k: int = TOP_K,
    article_ids: tuple[str, ...] = (),
    read: Read | None = None,
    tell: Tell = lambda step: None,
) -> list[Retrieved]:
    """Return at most ``top_k`` passages for a question, best first, numbered from 1.

    A passage is a chunk with those of its neighbours that were found as well; all together have no more text than
    ``top_k`` whole chunks. Without ``read`` the order is that of the search; ``tell`` hears of each chunk to read.
    """
    with library.snapshot():
        groups: list[list[Found]] = []
        left = top_k * CHUNK_PIECES
        for found in _ranked(library, question, vector, top_k, article_ids, read, tell):
            left -= count_pieces([found.chunk.text])[0]
            beside = next((group for group in groups if _continues(group, found.chunk)), None)
            if left < 0 or (beside is None and len(groups) == top_k):
                break
            if beside is None:
                groups.append([found])
            else:
                beside.append(found)
        sources = library.sources(group[0].chunk.article_id for group in groups)
        similar = library.similarities(vector, [found.chunk_id for group in groups for found in group])
        return [
            Retrieved(
                _passage(library, number, group, sources[group[0].chunk.article_id]),
                max(similar[found.chunk_id] for found in group),
                tuple(sentence for found in group for sentence in found.read),
            )
            for number, group in enumerate(groups, start=1)
        ]


def rank_chunks(
    library: Library,
    question: str,
    vector: Vectors,
    top_k: int,
    article_ids: tuple[str, ...] = (),
    read: Read | None = None,
) -> list[Found]:
    """Return the ``top_k`` chunks for a question, best first, without those that nearly repeat a better one."""
    with library.snapshot():
        return list(itertools.islice(_ranked(library, question, vector, top_k, article_ids, read), top_k))


def _ranked(
    library: Library,
    question: str,
    vector: Vectors,
    top_k: int,
    article_ids: tuple[str, ...],
    read: Read | None,
    tell: Tell = lambda step: None,
) -> Iterator[Found]:
    """Yield what was found, the first ``READ`` of it in the order that the reader gives them."""
    found = _found(library, question, vector, top_k, article_ids)
    if read is not None:
        first = list(itertools.islice(found, READ))
        for n, one in enumerate(first):
            tell(Step("reading", n, len(first)))
            first[n] = replace(one, read=read(question, one.chunk))
        yield from reranked(first)
    yield from found


def reranked(found: Sequence[Found]) -> list[Found]:
    """Return chunks that were read by the fitted odds that they answer, which become their scores, best first."""
    fit = fitted("passage", PASSAGE_SIGNALS)
    scored = [replace(one, score=round(fit.probability(passage_signals(one)), 4)) for one in found]
    return sorted(scored, key=lambda one: -one.score)


PASSAGE_SIGNALS = ("fusion", "relevance", "sentence", "answer")
"""The names of a chunk's signals: its score in the search, and the reader's for it, its best sentence and answer."""


def passage_signals(found: Found) -> tuple[float, ...]:
    """Return a chunk's signals; zeros for what the reader could not read."""
    if not found.read:
        return (found.score, 0.0, 0.0, 0.0)
    best = (max(one.sentence for one in found.read), max(one.answer for one in found.read))
    return (found.score, found.read[0].relevance, *best)


def _found(
    library: Library, question: str, vector: Vectors, top_k: int, article_ids: tuple[str, ...]
) -> Iterator[Found]:
    candidates = max(_CANDIDATES, top_k)
    dense = library.search_dense(vector, candidates, article_ids)
    words = library.search_words(question, candidates, article_ids)
    scores = fused(dense, words)
    places = [
        {hit.chunk_id: (n, hit.score) for n, hit in enumerate(hits, start=1)} for hits in (dense, words)
    ]
    ranked = sorted(scores, key=lambda i: (-scores[i], i))

    def in_order() -> Iterator[Found]:
        for start in range(0, len(ranked), _BATCH):
            chunks = library.chunks(ranked[start : start + _BATCH])
            for i in ranked[start : start + _BATCH]:
                yield Found(i, chunks[i], round(scores[i], 4), places[0].get(i), places[1].get(i))

    yield from _distinct(in_order())


def fused(*rankings: list[Hit]) -> dict[int, float]:
    """Return each found chunk's mean score over the rankings, scaled to [0, 1] in each; the last of one has 0."""
    scores: dict[int, float] = {}
    for hits in filter(None, rankings):
        high, low = hits[0].score, hits[-1].score if len(hits) > 1 else 0.0
        for hit in hits:
            share = (hit.score - low) / (high - low) if high > low else 1.0
            scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + share / len(rankings)
    return scores


def _distinct(ranked: Iterable[Found]) -> Iterator[Found]:
    """Pass over what nearly repeats a better chunk, as copies and new editions of an article do."""
    kept: list[set[str]] = []
    for found in ranked:
        words = set(terms_of(found.chunk.text))
        if not any(len(words & other) >= _SAME_SHARE * len(words | other) for other in kept):
            kept.append(words)
            yield found


def _continues(group: list[Found], chunk: Chunk) -> bool:
    """Whether a chunk stands right before or after a group's in the same section."""
    numbers = [found.chunk.number for found in group]
    same = (group[0].chunk.article_id, group[0].chunk.heading) == (chunk.article_id, chunk.heading)
    return same and chunk.number in (min(numbers) - 1, max(numbers) + 1)


def _passage(library: Library, number: int, group: list[Found], source: str) -> Passage:
    first = group[0].chunk
    start, end = min(f.chunk.start for f in group), max(f.chunk.end for f in group)
    text = first.text if len(group) == 1 else library.article(first.article_id).text[start:end]
    place = (first.article_id, first.title, source, first.heading)
    return Passage(number, *place, text, start, end, group[0].score)
