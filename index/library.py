"""Library: the articles, their chunks and both indexes as one folder that is never half-written.

SQLite holds the truth. Each change is one transaction that also raises the generation; the FAISS file is
derived, and rebuilt from the stored vectors when it is missing, stale or damaged.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from corpus.article import Article, Faq, Section
from corpus.errors import LibraryError, UsageError
from index import embed
from index.chunk import CHUNK_PIECES, PREFIX_PIECES, Chunk, chunk_article
from index.vectors import Hit, VectorIndex
from index.words import SCHEMA as WORDS_SCHEMA
from index.words import add_words, remove_words, search_words

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and of how many."""

MAKE = {
    "format": "1",
    "embedder": f"{embed.EMBEDDER} {embed.EMBEDDER_SHA256}",
    "chunking": f"{CHUNK_PIECES} pieces, prefix {PREFIX_PIECES}",
}
"""What a library's chunks and vectors depend on; another make cannot be searched with this one's code."""

_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE articles (
  id TEXT PRIMARY KEY, title TEXT NOT NULL, source TEXT NOT NULL UNIQUE, text TEXT NOT NULL,
  sections TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE faqs (
  article_id TEXT NOT NULL REFERENCES articles ON DELETE CASCADE, number INTEGER NOT NULL,
  question TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (article_id, number));
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY, article_id TEXT NOT NULL REFERENCES articles ON DELETE CASCADE, number INTEGER NOT NULL,
  heading TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX chunks_by_article ON chunks(article_id, number);
{WORDS_SCHEMA}
"""
_BUSY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of the list of articles; ``faq`` counts the questions set apart."""

    id: str
    title: str
    source: str
    chunks: int
    faq: int


@dataclass(frozen=True, slots=True)
class Added:
    """What an add did, by article id."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def default_folder() -> Path:
    """Return the library folder: ``RAG_LIBRARY``, or one in the per-user data folder."""
    named = os.environ.get("RAG_LIBRARY")
    return Path(named) if named else Path(platformdirs.user_data_dir("faqtual", appauthor=False)) / "library"


class Library:
    """An open library folder; use as a context manager. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the library at ``folder``, or make it.

        Raises LibraryError if the folder cannot be written or read, or its database is damaged.
        """
        self.folder = folder
        self._vectors: tuple[int, VectorIndex] | None = None
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "library.sqlite"
            writable = os.access(folder, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
            if not writable and not path.exists():
                raise LibraryError(
                    f"{folder}: no permission to write; name another folder with --library DIR"
                )
            uri = f"{path.resolve().as_uri()}{'' if writable else '?immutable=1'}"
            self._database = sqlite3.connect(
                uri, uri=True, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA foreign_keys = ON")
            if writable:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._make_tables()
            self._database.execute("SELECT value FROM meta").fetchall()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _make_tables(self) -> None:
        with self._writing() as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                return
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
            values = {**MAKE, "generation": "0"}
            database.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it, or nothing, is in the library afterwards."""
        with _explained(self.folder):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with _explained(self.folder):
            return self._database.execute(query, values).fetchall()

    # reading

    @property
    def generation(self) -> int:
        """A number that each change raises."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'generation'")[0][0])

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM articles")[0][0])

    def listings(self) -> list[Listing]:
        """Return a line per article, by id."""
        rows = self._rows(
            "SELECT id, title, source, (SELECT count(*) FROM chunks WHERE article_id = articles.id),"
            " (SELECT count(*) FROM faqs WHERE article_id = articles.id) FROM articles ORDER BY id"
        )
        return [Listing(*row) for row in rows]

    def article(self, article_id: str) -> Article:
        """Return an article; raises UsageError if the library has none of this id."""
        rows = self._rows("SELECT title, source, text, sections FROM articles WHERE id = ?", (article_id,))
        if not rows:
            raise UsageError(f"no article {article_id!r} in the library; see: rag list")
        title, source, text, sections = rows[0]
        faqs = self._rows(
            "SELECT question, answer FROM faqs WHERE article_id = ? ORDER BY number", (article_id,)
        )
        return Article(
            article_id,
            title,
            source,
            text,
            tuple(Section(*section) for section in json.loads(sections)),
            tuple(Faq(*faq) for faq in faqs),
        )

    def chunks(self, chunk_ids: Sequence[int]) -> dict[int, Chunk]:
        """Return the chunks of these ids."""
        rows = self._rows(
            'SELECT chunks.id, article_id, number, title, heading, start, "end", substr(text, start + 1, "end" - start)'
            " FROM chunks JOIN articles ON articles.id = article_id"
            f" WHERE chunks.id IN ({','.join('?' * len(chunk_ids))})",
            list(chunk_ids),
        )
        return {row[0]: Chunk(*row[1:]) for row in rows}

    def sources(self, article_ids: Iterable[str]) -> dict[str, str]:
        """Return where these articles came from: a path or URL each."""
        ids = sorted(set(article_ids))
        if not ids:
            return {}
        marks = ",".join("?" * len(ids))
        return dict(self._rows(f"SELECT id, source FROM articles WHERE id IN ({marks})", ids))

    # searching

    def require(self, article_ids: Iterable[str]) -> None:
        """Raise UsageError unless the library has all these articles."""
        wanted = set(article_ids)
        if missing := sorted(wanted - self.sources(wanted).keys()):
            raise UsageError(f"no article {missing[0]!r} in the library; see: rag list")

    def check_make(self) -> None:
        """Raise LibraryError if the library was made with another embedder or chunking."""
        made = dict(self._rows("SELECT key, value FROM meta"))
        for key, value in MAKE.items():
            if made.get(key) != value:
                raise LibraryError(
                    f"{self.folder}: made with another {key} ({made.get(key, 'none')[:40]!r}); "
                    "embed its articles again with: rag add --rebuild"
                )

    def search_dense(self, vector: embed.Vectors, k: int, article_ids: tuple[str, ...] = ()) -> list[Hit]:
        """Return the ``k`` chunks nearest to a question's vector, among these articles or all."""
        among = None
        if article_ids:
            marks = ",".join("?" * len(article_ids))
            rows = self._rows(f"SELECT id FROM chunks WHERE article_id IN ({marks})", article_ids)
            among = np.array([row[0] for row in rows], dtype=np.int64)
        return self._vector_index().search(vector, k, among)

    def search_words(self, question: str, k: int, article_ids: tuple[str, ...] = ()) -> list[Hit]:
        """Return the ``k`` best chunks by BM25, among these articles or all."""
        with _explained(self.folder):
            return search_words(self._database, question, k, article_ids)

    def _vector_index(self) -> VectorIndex:
        generation = self.generation
        if self._vectors is None or self._vectors[0] != generation:
            path = self.folder / "vectors.faiss"
            index = VectorIndex.load(path, generation)
            if index is None:
                index = self._build_vectors()
                with contextlib.suppress(OSError):  # a folder that is only read keeps none
                    index.save(path, generation)
            self._vectors = (generation, index)
        return self._vectors[1]

    def _build_vectors(self) -> VectorIndex:
        rows = self._rows("SELECT id, vector FROM chunks ORDER BY id")
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float16)
        return VectorIndex.build(ids, vectors.reshape(-1, embed.DIMENSIONS).astype(np.float32))

    # writing

    def add(self, articles: Iterable[Article], progress: Progress) -> Added:
        """Put articles in, all or none; an article from a known source replaces its earlier version.

        Unchanged articles cost nothing, and a changed one embeds only the chunks that are new.
        """
        self.check_make()
        known = {source: (i, h) for i, source, h in self._rows("SELECT id, source, hash FROM articles")}
        taken = {identity for identity, _ in known.values()}
        pending: list[tuple[Article, list[Chunk]]] = []
        done: dict[str, list[str]] = {"new": [], "changed": [], "unchanged": []}
        for article in articles:
            identity, old_hash = known.get(article.source, ("", ""))
            if old_hash == article.content_hash:
                done["unchanged"].append(identity)
                continue
            article = replace(article, id=identity or _free_id(article.id, taken))
            taken.add(article.id)
            done["changed" if identity else "new"].append(article.id)
            pending.append((article, chunk_article(article, embed.count_pieces)))
        if pending:
            stored = self._stored_vectors(article for article, _ in pending)
            vectors = self._embed((chunk for _, chunks in pending for chunk in chunks), progress, stored)
            self._store(pending, vectors)
        return Added(**{key: tuple(ids) for key, ids in done.items()})

    def _embed(
        self, chunks: Iterable[Chunk], progress: Progress, stored: Iterable[tuple[str, bytes]] = ()
    ) -> dict[str, bytes]:
        """Return each chunk's vector by the text it was made from, embedding those not ``stored``."""
        texts = {embedding_text(chunk) for chunk in chunks}
        vectors = {text: vector for text, vector in stored if text in texts}
        missing = sorted(texts - vectors.keys(), key=len)
        if missing:
            progress("loading the embedder", 0, len(missing))
            done = 0
            for batch in embed.ChunkEmbedder().encode(missing):
                for text, vector in zip(missing[done : done + len(batch)], batch, strict=True):
                    vectors[text] = vector.astype(np.float16).tobytes()
                done += len(batch)
                progress("embedding chunks", done, len(missing))
        return vectors

    def _stored_vectors(self, articles: Iterable[Article]) -> Iterator[tuple[str, bytes]]:
        """Yield what was embedded for the stored versions of these articles, and its vector."""
        for article in articles:
            rows = self._rows(
                'SELECT number, title, heading, start, "end", substr(text, start + 1, "end" - start), vector'
                " FROM chunks JOIN articles ON articles.id = article_id WHERE article_id = ?",
                (article.id,),
            )
            yield from ((embedding_text(Chunk(article.id, *row[:-1])), row[-1]) for row in rows)

    def _store(self, pending: list[tuple[Article, list[Chunk]]], vectors: dict[str, bytes]) -> None:
        with self._writing() as database:
            for article, chunks in pending:
                _delete(database, article.id)
                sections = json.dumps([[s.heading, s.start, s.end] for s in article.sections])
                database.execute(
                    "INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?)",
                    (article.id, article.title, article.source, article.text, sections, article.content_hash),
                )
                faqs = ((article.id, n, faq.question, faq.answer) for n, faq in enumerate(article.faqs))
                database.executemany("INSERT INTO faqs VALUES (?, ?, ?, ?)", faqs)
                for chunk in chunks:
                    place = (chunk.article_id, chunk.number, chunk.heading, chunk.start, chunk.end)
                    row = database.execute(
                        'INSERT INTO chunks(article_id, number, heading, start, "end", vector) VALUES (?, ?, ?, ?, ?, ?)',
                        (*place, vectors[embedding_text(chunk)]),
                    )
                    add_words(database, [(int(row.lastrowid or 0), chunk)])
            database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", MAKE.items())
            _raise_generation(database)

    def remove(self, article_ids: Sequence[str]) -> None:
        """Take articles out, all or none; raises UsageError if one of them is unknown."""
        self.require(article_ids)
        with self._writing() as database:
            for article_id in article_ids:
                _delete(database, article_id)
            _raise_generation(database)

    def rebuild(self, progress: Progress) -> int:
        """Cut and embed every stored article again with the present make; return how many there are."""
        articles = [self.article(row[0]) for row in self._rows("SELECT id FROM articles ORDER BY id")]
        pending = [(article, chunk_article(article, embed.count_pieces)) for article in articles]
        vectors = self._embed((chunk for _, chunks in pending for chunk in chunks), progress)
        self._store(pending, vectors)
        return len(articles)


def embedding_text(chunk: Chunk) -> str:
    """Return what is embedded for a chunk: title and heading, cut to their share, before its text."""
    return f"{_prefix(chunk.title, chunk.heading)}. {chunk.text}"


@functools.lru_cache(maxsize=1024)  # a section's chunks share it, and each is asked for it three times
def _prefix(title: str, heading: str) -> str:
    return embed.cut_to_pieces(". ".join(part for part in (title, heading) if part), PREFIX_PIECES)


def _free_id(wanted: str, taken: set[str]) -> str:
    identity, number = wanted, 2
    while identity in taken:
        identity, number = f"{wanted}-{number}", number + 1
    return identity


def _delete(database: sqlite3.Connection, article_id: str) -> None:
    ids = database.execute("SELECT id FROM chunks WHERE article_id = ?", (article_id,)).fetchall()
    remove_words(database, (row[0] for row in ids))
    database.execute("DELETE FROM articles WHERE id = ?", (article_id,))


def _raise_generation(database: sqlite3.Connection) -> None:
    database.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn the database's and the system's errors into ones that say how to mend them."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise LibraryError(
                f"{folder}: another process is writing to it; try again when it is done"
            ) from error
        if "readonly" in text or "unable to open" in text:
            raise LibraryError(
                f"{folder}: no permission to write; name another with --library DIR"
            ) from error
        if "full" in text:
            raise LibraryError(
                f"{folder}: the disk is full; free some space and repeat, nothing was lost"
            ) from error
        raise LibraryError(
            f"{folder}: the library is damaged ({text}); move library.sqlite away and add the articles again"
        ) from error
    except OSError as error:
        raise LibraryError(f"{folder}: {error.strerror}; name another folder with --library DIR") from error
