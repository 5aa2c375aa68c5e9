"""Full-text search (BM25) over title, heading and text, by SQLite's FTS5 with Porter stemming."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from index.chunk import Chunk
from index.vectors import Hit

SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(
  title, heading, text, tokenize='porter unicode61 remove_diacritics 2');
"""
_WEIGHTS = "1.0, 1.5, 2.0"  # of title, heading and text
_MOST_TERMS = 40
_TERM = re.compile(r"\w+(?:[.,]\d+)*")
STOP_WORDS = frozenset(
    "a about an and are as at be been being but by can could did do does for from had has have having he "
    "her his how i if in into is it its me my of on or our s she should so t tell than that the their "
    "them then there these they this those to us was we were what when where which who whom whose why "
    "will with would you your".split()
)


def terms_of(text: str) -> list[str]:
    """Return the distinct lower-case words and numbers of a text that carry meaning."""
    found = dict.fromkeys(term.lower() for term in _TERM.findall(text))
    return [term for term in found if term not in STOP_WORDS]


def add_words(database: sqlite3.Connection, chunks: Iterable[tuple[int, Chunk]]) -> None:
    """Index chunks under their ids, inside the caller's transaction."""
    rows = ((chunk_id, chunk.title, chunk.heading, chunk.text) for chunk_id, chunk in chunks)
    database.executemany("INSERT INTO words(rowid, title, heading, text) VALUES (?, ?, ?, ?)", rows)


def remove_words(database: sqlite3.Connection, chunk_ids: Iterable[int]) -> None:
    """Take chunks out of the index, inside the caller's transaction."""
    database.executemany("DELETE FROM words WHERE rowid = ?", ((chunk_id,) for chunk_id in chunk_ids))


def search_words(
    database: sqlite3.Connection, question: str, k: int, article_ids: tuple[str, ...]
) -> list[Hit]:
    """Return the ``k`` chunks with the best BM25 score for any word of the question."""
    terms = terms_of(question)[:_MOST_TERMS]
    if not terms:
        return []
    match = " OR ".join('"' + term.replace('"', "") + '"' for term in terms)
    only = f"AND chunks.article_id IN ({','.join('?' * len(article_ids))})" if article_ids else ""
    rows = database.execute(
        f"SELECT words.rowid, -bm25(words, {_WEIGHTS}) AS score FROM words "
        f"JOIN chunks ON chunks.id = words.rowid WHERE words MATCH ? {only} ORDER BY score DESC, words.rowid LIMIT ?",
        (match, *article_ids, k),
    )
    return [Hit(chunk_id, score) for chunk_id, score in rows]
