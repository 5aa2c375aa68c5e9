"""Articles -> windows: whole articles with their chunks, embedded and stored together."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from corpus.article import Article
from index import embed
from index.chunk import PREFIX_PIECES, Chunk, chunk_article

WINDOW = 2048
"""Chunks from which a window is full: what an interruption can cost."""
Window = list[tuple[Article, list[Chunk]]]


def windows(articles: Iterable[Article]) -> Iterator[Window]:
    """Cut articles into chunks and gather whole articles until there are ``WINDOW`` chunks."""
    window: Window = []
    gathered = 0
    for article in articles:
        window.append((article, chunk_article(article, embed.count_pieces)))
        gathered += len(window[-1][1])
        if gathered >= WINDOW:
            yield window
            window, gathered = [], 0
    if window:
        yield window


def embedding_text(chunk: Chunk) -> str:
    """Return what is embedded for a chunk: title and heading, cut to their share, before its text."""
    return f"{_prefix(chunk.title, chunk.heading)}. {chunk.text}"


@functools.lru_cache(maxsize=1024)  # a section's chunks share it, and each is asked for it three times
def _prefix(title: str, heading: str) -> str:
    return embed.cut_to_pieces(". ".join(part for part in (title, heading) if part), PREFIX_PIECES)
