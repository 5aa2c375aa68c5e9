"""Full-text search (BM25) over title, heading and text, by SQLite's FTS5 with Porter stemming."""

from __future__ import annotations

import json
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


def words_damaged(error: BaseException | None) -> bool:
    """Whether an error of a search tells that the full-text index is missing or damaged."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_ERROR", "SQLITE_CORRUPT"))


def check_words(database: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError if the full-text index is damaged; reads all of it."""
    database.execute("INSERT INTO words(words) VALUES ('integrity-check')")


def rebuild_words(database: sqlite3.Connection) -> None:
    """Make the index anew from the chunks, inside the caller's transaction."""
    database.execute("PRAGMA writable_schema = ON")  # a damaged virtual table cannot be dropped otherwise
    database.execute("DELETE FROM sqlite_master WHERE name = 'words'")
    database.execute("PRAGMA writable_schema = RESET")
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'words\\_%' ESCAPE '\\'"
    for (name,) in database.execute(tables).fetchall():
        database.execute(f'DROP TABLE "{name}"')
    database.execute(SCHEMA)
    database.execute(
        'INSERT INTO words(rowid, title, heading, text) SELECT chunks.id, title, heading, substr(text, start + 1, "end" - start)'
        " FROM chunks JOIN articles ON articles.id = article_id"
    )


def search_words(
    database: sqlite3.Connection, question: str, k: int, article_ids: tuple[str, ...]
) -> list[Hit]:
    """Return the ``k`` chunks with the best BM25 score for any word of the question."""
    terms = terms_of(question)[:_MOST_TERMS]
    if not terms:
        return []
    match = " OR ".join('"' + term.replace('"', "") + '"' for term in terms)
    only = "AND chunks.article_id IN (SELECT value FROM json_each(?))" if article_ids else ""
    among = (json.dumps(article_ids),) if article_ids else ()
    rows = database.execute(
        f"SELECT words.rowid, -bm25(words, {_WEIGHTS}) AS score FROM words "
        f"JOIN chunks ON chunks.id = words.rowid WHERE words MATCH ? {only} ORDER BY score DESC, words.rowid LIMIT ?",
        (match, *among, k),
    )
    return [Hit(chunk_id, score) for chunk_id, score in rows]
