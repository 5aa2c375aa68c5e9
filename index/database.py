"""The library's SQLite file: its tables, its transactions, and its errors in words that say how to mend them."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.article import Article
from corpus.errors import LibraryError
from index.chunk import Chunk
from index.words import SCHEMA as WORDS_SCHEMA
from index.words import add_words, remove_words

FORMAT = "2"
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE articles (
  id TEXT PRIMARY KEY, title TEXT NOT NULL, source TEXT NOT NULL UNIQUE, text TEXT NOT NULL,
  sections TEXT NOT NULL, hash TEXT NOT NULL, author TEXT NOT NULL DEFAULT '', date TEXT NOT NULL DEFAULT '',
  url TEXT NOT NULL DEFAULT '', source_digest TEXT NOT NULL DEFAULT '');
CREATE TABLE faqs (
  article_id TEXT NOT NULL REFERENCES articles ON DELETE CASCADE, number INTEGER NOT NULL,
  question TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (article_id, number));
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY, article_id TEXT NOT NULL REFERENCES articles ON DELETE CASCADE, number INTEGER NOT NULL,
  heading TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX chunks_by_article ON chunks(article_id, number);
{WORDS_SCHEMA}
"""
_FROM_FORMAT_1 = """
ALTER TABLE articles ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN date TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN url TEXT NOT NULL DEFAULT '';
ALTER TABLE articles ADD COLUMN source_digest TEXT NOT NULL DEFAULT '';
INSERT INTO meta SELECT 'next_chunk', ifnull(max(id), 0) + 1 FROM chunks;
"""
_BUSY_SECONDS = 60


class Database:
    """An open library database; a folder that may not be written is opened for reading alone."""

    def __init__(self, folder: Path, meta: Mapping[str, str]) -> None:
        """Open ``folder``/library.sqlite, or make it with these values in its table ``meta``.

        Raises LibraryError if the folder cannot be written or read, or the database is damaged.
        """
        self.folder = folder
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "library.sqlite"
            self.writable = os.access(folder, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
            if not self.writable and not path.exists():
                raise LibraryError(
                    f"{folder}: no permission to write; name another folder with --library DIR"
                )
            uri = f"{path.resolve().as_uri()}{'' if self.writable else '?immutable=1'}"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA foreign_keys = ON")
            if self.writable:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._make_tables(meta)
            self._connection.execute("SELECT value FROM meta").fetchall()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _make_tables(self, meta: Mapping[str, str]) -> None:
        if self._format() == FORMAT:
            return
        with self.writing() as connection:
            if (made := self._format()) is None:
                _run(connection, _SCHEMA)
                values = {**meta, "generation": "0", "next_chunk": "1"}
                connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
            elif made == "1":
                _run(connection, _FROM_FORMAT_1)
                connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))

    def _format(self) -> str | None:
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        return str(row[0]) if row else ""

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it, or nothing, is in the library afterwards."""
        with explained(self.folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction: all that is read inside is of one state, whatever others write."""
        with explained(self.folder):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a query."""
        with explained(self.folder):
            return self._connection.execute(query, values).fetchall()

    def stream(self, query: str, values: Sequence[object] = ()) -> Iterator[Any]:
        """Yield the rows of a query without holding them all."""
        with explained(self.folder):
            yield from self._connection.execute(query, values)


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the transaction that is open (``executescript`` would commit it)."""
    for statement in script.split(";\n"):
        connection.execute(statement)


def insert_article(connection: sqlite3.Connection, article: Article) -> None:
    """Store an article and its FAQ."""
    sections = json.dumps([[s.heading, s.start, s.end] for s in article.sections])
    fields = (article.id, article.title, article.source, article.text, sections, article.content_hash)
    about = (article.author, article.date, article.url, article.source_digest)
    connection.execute("INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, *about))
    faqs = ((article.id, n, faq.question, faq.answer) for n, faq in enumerate(article.faqs))
    connection.executemany("INSERT INTO faqs VALUES (?, ?, ?, ?)", faqs)


def insert_chunks(
    connection: sqlite3.Connection, chunks: Sequence[tuple[int, Chunk]], vectors: Sequence[bytes]
) -> None:
    """Store an article's chunks under their ids, with their vectors (float16), and index their words."""
    connection.executemany(
        'INSERT INTO chunks(id, article_id, number, heading, start, "end", vector) VALUES (?, ?, ?, ?, ?, ?, ?)',
        (
            (i, c.article_id, c.number, c.heading, c.start, c.end, vector)
            for (i, c), vector in zip(chunks, vectors, strict=True)
        ),
    )
    add_words(connection, chunks)


def delete_article(connection: sqlite3.Connection, article_id: str) -> None:
    """Delete an article with all that belongs to it, if there is one."""
    ids = connection.execute("SELECT id FROM chunks WHERE article_id = ?", (article_id,)).fetchall()
    remove_words(connection, (row[0] for row in ids))
    connection.execute("DELETE FROM articles WHERE id = ?", (article_id,))


def raise_generation(connection: sqlite3.Connection, next_chunk: int | None = None) -> None:
    """Mark a change, and note the id that the next chunk will have."""
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
    if next_chunk is not None:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'next_chunk'", (str(next_chunk),))


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the database's and the system's errors into ones that say how to mend them."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(f"{folder}: {_advice(error)}") from error
    except OSError as error:
        raise LibraryError(f"{folder}: {error.strerror}; name another folder with --library DIR") from error


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    for kinds, advice in _ADVICE.items():
        if name.startswith(kinds):
            return advice
    return f"the library is damaged ({error}); move library.sqlite away and add the articles again"


_ADVICE = {
    ("SQLITE_BUSY", "SQLITE_LOCKED"): "another process is writing to it; try again when it is done",
    ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"): (
        "no permission to write; name another with --library DIR"
    ),
    ("SQLITE_FULL",): "the disk is full; free some space and repeat, nothing was lost",
    ("SQLITE_IOERR",): (
        "the disk cannot be written or read (full, or failing?); free some space and repeat, nothing was lost"
    ),
}
