"""Article -> chunks that end at sentences, keep character offsets and fit what the embedder reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from corpus.article import Article
from index.sentences import Span, split_sentences

CHUNK_PIECES = 128
"""Word pieces of text in a chunk: short ones, since reading passages is what an answer waits for."""
PREFIX_PIECES = 64
"""Word pieces of title and heading put before a chunk's text when it is embedded."""

Sized = tuple[Span, int]
"""A sentence and its number of word pieces."""
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

    A chunk holds whole paragraphs where they fit, and starts anew at each long one and at each that announces
    a list: so an edited paragraph changes few chunks besides its own. A sentence too long for a chunk is cut
    at white space, or anywhere where it has none.
    """
    chunks: list[Chunk] = []
    for section in article.sections:
        sentences = _fitting(
            article.text, split_sentences(article.text, section.start, section.end), count_pieces, most
        )
        for span in _chunks(article.text, sentences, most):
            text = article.text[span.start : span.end]
            chunks.append(
                Chunk(article.id, len(chunks), article.title, section.heading, span.start, span.end, text)
            )
    return chunks


def _fitting(text: str, spans: list[Span], count: CountPieces, most: int) -> list[Sized]:
    """Pair each sentence with its word pieces, over-long ones cut into parts that fit."""
    fitting: list[Sized] = []
    for span, pieces in zip(spans, count([text[s.start : s.end] for s in spans]), strict=True):
        if pieces <= most:
            fitting.append((span, pieces))
        else:
            fitting.extend(cut(text, span, count, most))
    return fitting


def cut(text: str, span: Span, count: CountPieces, most: int) -> list[Sized]:
    """Halve a span near its middle, at white space where there is any, until every part has at most ``most`` pieces."""
    pieces = count([text[span.start : span.end]])[0]
    if pieces <= most or span.end - span.start < 2:
        return [(span, pieces)]
    middle = (span.start + span.end) // 2
    space = text.rfind(" ", span.start + 1, middle)
    middle = space if space > span.start else middle
    halves = (Span(span.start, middle), Span(middle + (text[middle] == " "), span.end))
    return [part for half in halves for part in cut(text, half, count, most)]


def _chunks(text: str, sentences: list[Sized], most: int) -> Iterator[Span]:
    """Join the paragraphs of a section to chunks; a paragraph that is too long gives several."""
    held: list[Sized] = []
    for paragraph in _paragraphs(text, sentences):
        size, gathered = _size(paragraph), _size(held)
        apart = size > most / 2 or text[paragraph[-1][0].end - 1] == ":"
        if held and (gathered + size > most or (apart and gathered >= most / 4)):
            yield from _split(held, most)
            held = []
        held = held + paragraph
    yield from _split(held, most)


def _size(sentences: list[Sized]) -> int:
    return sum(pieces for _, pieces in sentences)


def _paragraphs(text: str, sentences: list[Sized]) -> Iterator[list[Sized]]:
    paragraph: list[Sized] = []
    for sized in sentences:
        if paragraph and "\n" in text[paragraph[-1][0].end : sized[0].start]:
            yield paragraph
            paragraph = []
        paragraph.append(sized)
    if paragraph:
        yield paragraph


def _split(sentences: list[Sized], most: int) -> list[Span]:
    """Join neighbouring sentences while they fit, to as few spans as may be, of about equal size."""
    target = _size(sentences) / max(1, -(-_size(sentences) // most))
    spans: list[Span] = []
    held = 0
    for span, pieces in sentences:
        if spans and held + pieces <= most and held + pieces / 2 <= target:
            spans[-1] = Span(spans[-1].start, span.end)
            held += pieces
        else:
            spans.append(span)
            held = pieces
    return spans
