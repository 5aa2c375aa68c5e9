"""Full-text search (BM25) over title, heading and text, by SQLite's FTS5 with Porter stemming.

FTS5 scores every chunk that has any word of the question, which takes 60 ms over a million chunks. So a question's
rarest words are looked up, as many as the budget of matches allows; the others add little to BM25. That takes 6 ms,
loses no measurable recall, and keeps the words in the library's own transactions (evals/bench/scale.py).
"""

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
FIELD_WEIGHTS = "1.0, 1.5, 2.0"
"""Of title, heading and text in BM25."""
_MOST_TERMS = 40
_MOST_MATCHES = 8000
"""Chunks that one question may have scored; libraries of fewer lose nothing."""
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
    """Return the ``k`` chunks with the best BM25 score for any of the question's rarest words."""
    terms = terms_of(question)[:_MOST_TERMS]
    if not terms:
        return []
    rare = _rarest(database, terms)
    hits = _matching(database, " OR ".join(map(_quoted, rare)), k, article_ids) if rare else []
    if len(hits) < k and len(rare) < len(terms):  # the rest stand in too many chunks one by one
        common = " AND ".join(_quoted(term) for term in terms if term not in rare)
        known = {hit.chunk_id for hit in hits}
        more = _matching(database, common, k, article_ids)
        hits += [hit for hit in more if hit.chunk_id not in known][: k - len(hits)]
    return hits


def _rarest(database: sqlite3.Connection, terms: list[str]) -> list[str]:
    """Return the terms that stand in fewest chunks, as many as have ``_MOST_MATCHES`` together."""
    counts = {term: chunks_with(database, term, _MOST_MATCHES + 1) for term in terms}
    kept: list[str] = []
    total = 0
    for term in sorted(terms, key=lambda term: counts[term]):
        total += counts[term]
        if total > _MOST_MATCHES:
            break
        kept.append(term)
    return kept


def chunks_with(database: sqlite3.Connection, term: str, most: int) -> int:
    """Return how many chunks have a word, counting no further than ``most``."""
    count = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(database.execute(count, (_quoted(term), most)).fetchone()[0])


def _matching(database: sqlite3.Connection, match: str, k: int, article_ids: tuple[str, ...]) -> list[Hit]:
    join = ""
    among: tuple[str, ...] = ()
    if article_ids:
        join = " JOIN chunks ON chunks.id = words.rowid AND chunks.article_id IN (SELECT value FROM json_each(?))"
        among = (json.dumps(article_ids),)
    rows = database.execute(
        "SELECT id, score FROM (SELECT words.rowid AS id, -bm25(words, " + FIELD_WEIGHTS + ") AS score"
        f" FROM words{join} WHERE words MATCH ? LIMIT ?) ORDER BY score DESC, id LIMIT ?",
        (*among, match, 2 * _MOST_MATCHES, k),
    )
    return [Hit(chunk_id, score) for chunk_id, score in rows]


def _quoted(term: str) -> str:
    return '"' + term.replace('"', "") + '"'
