"""Article -> chunks that end at sentences, keep character offsets and fit what the embedder reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from corpus.article import Article
from index.sentences import Span, split_sentences

CHUNK_PIECES = 128
"""Word pieces of text in a chunk: short ones, since reading passages is what an answer waits for."""
PREFIX_PIECES = 64
"""Word pieces of title and heading put before a chunk's text when it is embedded."""

CountPieces = Callable[[list[str]], list[int]]
"""Word pieces of each text, as the embedder's tokenizer counts them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The run ``article.text[start:end]``, with what places it: the article's title and its heading."""

    article_id: str
    number: int
    title: str
    heading: str
    start: int
    end: int
    text: str


def chunk_article(article: Article, count_pieces: CountPieces, most: int = CHUNK_PIECES) -> list[Chunk]:
    """Cut an article into chunks of whole sentences of at most ``most`` word pieces, section by section.

    A sentence longer than that alone is cut at white space, or anywhere where it has none.
    """
    chunks: list[Chunk] = []
    for section in article.sections:
        sentences = _fitting(
            article.text, split_sentences(article.text, section.start, section.end), count_pieces, most
        )
        for span in _pack(sentences, most):
            text = article.text[span.start : span.end]
            chunks.append(
                Chunk(article.id, len(chunks), article.title, section.heading, span.start, span.end, text)
            )
    return chunks


def _fitting(text: str, spans: list[Span], count: CountPieces, most: int) -> list[tuple[Span, int]]:
    """Pair each sentence with its word pieces, over-long ones cut into parts that fit."""
    fitting: list[tuple[Span, int]] = []
    for span, pieces in zip(spans, count([text[s.start : s.end] for s in spans]), strict=True):
        if pieces <= most:
            fitting.append((span, pieces))
        else:
            fitting.extend(_cut(text, span, count, most))
    return fitting


def _cut(text: str, span: Span, count: CountPieces, most: int) -> list[tuple[Span, int]]:
    """Halve a span near its middle, at white space where there is any, until every part fits."""
    pieces = count([text[span.start : span.end]])[0]
    if pieces <= most or span.end - span.start < 2:
        return [(span, pieces)]
    middle = (span.start + span.end) // 2
    space = text.rfind(" ", span.start + 1, middle)
    middle = space if space > span.start else middle
    halves = (Span(span.start, middle), Span(middle + (text[middle] == " "), span.end))
    return [part for half in halves for part in _cut(text, half, count, most)]


def _pack(sentences: list[tuple[Span, int]], most: int) -> list[Span]:
    """Join neighbouring sentences while they fit; chunks of a section come out of about equal size."""
    total = sum(pieces for _, pieces in sentences)
    target = total / max(1, -(-total // most))
    packed: list[Span] = []
    held = 0
    for span, pieces in sentences:
        if packed and held + pieces <= most and held + pieces / 2 <= target:
            packed[-1] = Span(packed[-1].start, span.end)
            held += pieces
        else:
            packed.append(span)
            held = pieces
    return packed
