"""Library: the articles, their chunks and both indexes as one folder that is never half-written.

SQLite holds the truth. Each change is one transaction that also raises the generation; the FAISS file is
derived, and brought up to date from the stored vectors when it is missing, stale or damaged.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs

from corpus.article import Article, Faq, Section
from corpus.errors import LibraryError, UsageError
from index import embed
from index.chunk import CHUNK_PIECES, PREFIX_PIECES, Chunk
from index.database import (
    FORMAT,
    Database,
    delete_article,
    explained,
    insert_article,
    insert_chunks,
    raise_generation,
)
from index.dense import DenseIndex, as_vectors
from index.embedder import Embedder
from index.feedback import Feedback, insert_feedback, stored_feedback
from index.model_folder import require_unchanged
from index.spelling import corrected
from index.vectors import Hit, State, VectorIndex
from index.windows import Window, embedding_text, windows
from index.words import check_words, rebuild_words, search_words, words_damaged

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and of how many."""

MAKE = {
    "format": FORMAT,
    "chunking": f"paragraphs of at most {CHUNK_PIECES} pieces, prefix {PREFIX_PIECES}",
}
"""What a library's chunks depend on, besides its embedder; another make cannot be searched with this one's code."""

_MORE = 3  # times the wanted hits are taken from an approximate search, to be scored exactly


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
        self._database = Database(folder, {**MAKE, "embedder": embed.BUNDLED.record})
        self._dense = DenseIndex(folder, self._database)
        self._encoder: embed.QuestionEncoder | None = None

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one state of the library, whatever another process writes."""
        with self._database.reading():
            yield

    @contextlib.contextmanager
    def _writing_alone(self, progress: Progress) -> Iterator[None]:
        """Keep other writers out; the second waits, and ``progress`` says so."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "writer.lock", is_singleton=False)
        with explained(self.folder):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress("waiting for another process that writes to the library", 0, 0)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    # reading

    @property
    def generation(self) -> int:
        """A number that each change raises."""
        return self._state().generation

    def _meta(self) -> dict[str, str]:
        return dict(self._database.rows("SELECT key, value FROM meta"))

    def _state(self) -> State:
        meta = self._meta()
        return State(int(meta["generation"]), int(meta["next_chunk"]))

    def embedder(self) -> Embedder:
        """Return the embedder that the library is made with; raises LibraryError if none here is that."""
        record = self._meta().get("embedder", "none")
        if (found := embed.embedder_of(record)) is None:
            raise self._made_otherwise("embedder", record)
        return found

    def __len__(self) -> int:
        return int(self._database.rows("SELECT count(*) FROM articles")[0][0])

    def chunk_count(self) -> int:
        """Return how many chunks all articles have."""
        return int(self._database.rows("SELECT count(*) FROM chunks")[0][0])

    def listings(self) -> list[Listing]:
        """Return a line per article, by id."""
        rows = self._database.rows(
            "SELECT id, title, source, (SELECT count(*) FROM chunks WHERE article_id = articles.id),"
            " (SELECT count(*) FROM faqs WHERE article_id = articles.id) FROM articles ORDER BY id"
        )
        return [Listing(*row) for row in rows]

    def article(self, article_id: str) -> Article:
        """Return an article; raises UsageError if the library has none of this id."""
        rows = self._database.rows(
            "SELECT title, source, text, sections, author, date, url, source_digest FROM articles WHERE id = ?",
            (article_id,),
        )
        if not rows:
            raise UsageError(f"no article {article_id!r} in the library; see: rag list")
        title, source, text, sections, *about = rows[0]
        faqs = self._database.rows(
            "SELECT question, answer FROM faqs WHERE article_id = ? ORDER BY number", (article_id,)
        )
        return Article(
            article_id,
            title,
            source,
            text,
            tuple(Section(*section) for section in json.loads(sections)),
            tuple(Faq(*faq) for faq in faqs),
            *about,
        )

    def known_sources(self) -> dict[str, tuple[str, str]]:
        """Return the id and the source digest of every article, by its source."""
        rows = self._database.rows("SELECT source, id, source_digest FROM articles")
        return {source: (identity, digest) for source, identity, digest in rows}

    def chunks(self, chunk_ids: Sequence[int]) -> dict[int, Chunk]:
        """Return the chunks of these ids."""
        rows = self._database.rows(
            'SELECT chunks.id, article_id, number, title, heading, start, "end", substr(text, start + 1, "end" - start)'
            " FROM chunks JOIN articles ON articles.id = article_id"
            " WHERE chunks.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(chunk_ids)),),
        )
        return {row[0]: Chunk(*row[1:]) for row in rows}

    def sources(self, article_ids: Iterable[str]) -> dict[str, str]:
        """Return where these articles came from: a path or URL each."""
        ids = json.dumps(sorted(set(article_ids)))
        query = "SELECT id, source FROM articles WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._database.rows(query, (ids,)))

    def add_feedback(self, feedback: Feedback) -> None:
        """Keep what a person thought of an answer; the articles are not changed by it."""
        with self._database.writing() as connection:
            insert_feedback(connection, feedback)

    def feedback(self) -> list[Feedback]:
        """Return all that people thought of answers, oldest first."""
        with self._database.reading() as connection:
            return stored_feedback(connection)

    # searching

    def check_words(self) -> None:
        """Raise LibraryError if the full-text index is damaged; reads all of it."""
        try:
            with self._database.writing() as connection:
                check_words(connection)
        except LibraryError as error:
            raise LibraryError(
                f"{self.folder}: the full-text index is damaged; make it anew with: rag add --rebuild"
            ) from error

    def require(self, article_ids: Iterable[str]) -> None:
        """Raise UsageError unless the library has all these articles."""
        wanted = set(article_ids)
        if missing := sorted(wanted - self.sources(wanted).keys()):
            raise UsageError(f"no article {missing[0]!r} in the library; see: rag list")

    def check_make(self) -> None:
        """Raise LibraryError if the library was made with another chunking, or an embedder that is not known here."""
        made = self._meta()
        for key, value in MAKE.items():
            if made.get(key) != value:
                raise self._made_otherwise(key, made.get(key, "none"))
        self.embedder()

    def _made_otherwise(self, key: str, value: str) -> LibraryError:
        return LibraryError(
            f"{self.folder}: made with another {key} ({value[:40]!r}); "
            "embed its articles again with: rag add --rebuild"
        )

    def encode(self, texts: Sequence[str]) -> embed.Vectors:
        """Return questions' vectors by the library's embedder, loaded at the first call.

        Raises LibraryError or ModelError, naming the remedy, if that cannot be used.
        """
        self.check_make()
        embedder = self.embedder()
        if self._encoder is None or self._encoder.embedder != embedder:
            require_unchanged(embedder)
            self._encoder = embed.QuestionEncoder(embedder)
        return self._encoder.encode(texts)

    def search_dense(self, vector: embed.Vectors, k: int, article_ids: tuple[str, ...] = ()) -> list[Hit]:
        """Return the ``k`` chunks nearest to a question's vector, among these articles or all.

        Raises LibraryError if the library was made anew since, or is being made.
        """
        among = None
        if article_ids:
            query = "SELECT id FROM chunks WHERE article_id IN (SELECT value FROM json_each(?))"
            rows = self._database.rows(query, (json.dumps(article_ids),))
            among = np.array([row[0] for row in rows], dtype=np.int64)
        index = self._vector_index()
        if index.dimensions != len(vector):
            raise LibraryError(f"{self.folder}: made with another embedder meanwhile; ask again")
        if not index.approximate:
            return index.search(vector, k, among)
        return self._rescored(index.search(vector, _MORE * k, among), vector)[:k]

    def _rescored(self, hits: list[Hit], vector: embed.Vectors) -> list[Hit]:
        """Give hits of an approximate search the cosines of the stored vectors."""
        scores = self.similarities(vector, [hit.chunk_id for hit in hits])
        return sorted((Hit(*pair) for pair in scores.items()), key=lambda hit: (-hit.score, hit.chunk_id))

    def similarities(self, vector: embed.Vectors, chunk_ids: Sequence[int]) -> dict[int, float]:
        """Return the cosine of a question's vector with each chunk's."""
        query = "SELECT id, vector FROM chunks WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._database.rows(query, (json.dumps(list(chunk_ids)),))
        scores = as_vectors((row[1] for row in rows), len(vector)) @ vector
        return {row[0]: round(float(score), 4) for row, score in zip(rows, scores, strict=True)}

    def search_words(self, question: str, k: int, article_ids: tuple[str, ...] = ()) -> list[Hit]:
        """Return the ``k`` best chunks by BM25, among these articles or all."""
        return self._with_words(lambda connection: search_words(connection, question, k, article_ids))

    def corrected(self, question: str) -> str:
        """Return a question with its misspelt names as the articles spell them."""
        return self._with_words(lambda connection: corrected(connection, question))

    def _with_words(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read the full-text index, made anew first if it is missing or damaged."""
        try:
            with self._database.reading() as connection:
                return read(connection)
        except LibraryError as error:
            if not self._database.writable or not words_damaged(error.__cause__):
                raise
        with self._database.writing() as connection:
            rebuild_words(connection)
        with self._database.reading() as connection:
            return read(connection)

    def _vector_index(self) -> VectorIndex:
        with self.snapshot():
            self.check_make()
            return self._dense.at(self._state(), self.embedder().dimensions)

    def refresh(self) -> None:
        """Write the dense index's file anew if it is missing or much has changed since."""
        if self._dense.is_stale(self._state()):
            self._vector_index()

    # writing

    def take_embedder(self, embedder: Embedder, progress: Progress) -> None:
        """Make a library without chunks with this embedder, or note where that of one with chunks lies now.

        Raises LibraryError, naming the remedy, if its chunks are embedded by another.
        """
        with self._writing_alone(progress):
            if self.chunk_count() and (made := self.embedder()) != embedder:
                raise LibraryError(
                    f"{self.folder}: made with the embedder {made.name}, not {embedder.name}; "
                    f"embed its articles again with: rag add --rebuild --embedder {embedder.option}"
                )
            with self._database.writing() as connection:
                _note_embedder(connection, embedder)

    def add(
        self, articles: Iterable[Article], progress: Progress, share: Callable[[], float] = lambda: 1.0
    ) -> Added:
        """Put articles in; one from a known source replaces its earlier version, an unchanged one costs nothing.

        Whole articles are stored, some ``WINDOW`` chunks at a time: an interruption loses at most that, and
        adding the same again goes on from there. A changed article embeds only the chunks that are new.
        ``share`` tells how much of the articles has come so far (0 to 1), for ``progress``.
        """
        done: dict[str, list[str]] = {"new": [], "changed": [], "unchanged": []}
        with self._writing_alone(progress):
            self.check_make()
            known = {
                source: (i, h)
                for i, source, h in self._database.rows("SELECT id, source, hash FROM articles")
            }
            taken = {identity for identity, _ in known.values()}
            embedded = 0
            for window in windows(self._identified(articles, known, taken, done)):
                vectors, new = self._embed(window, progress, embedded, share())
                self._store(window, vectors)
                embedded += new
        return Added(**{key: tuple(ids) for key, ids in done.items()})

    def _identified(
        self,
        articles: Iterable[Article],
        known: dict[str, tuple[str, str]],
        taken: set[str],
        done: dict[str, list[str]],
    ) -> Iterator[Article]:
        """Yield the new and changed articles under the ids they have or get; note all in ``done``."""
        for article in articles:
            identity, old_hash = known.get(article.source, ("", ""))
            if old_hash == article.content_hash:
                done["unchanged"].append(identity)
                self._note_digest(identity, article.source_digest)
                continue
            article = replace(article, id=identity or _free_id(article.id, taken))
            taken.add(article.id)
            known[article.source] = (article.id, article.content_hash)
            done["changed" if identity else "new"].append(article.id)
            yield article

    def _note_digest(self, article_id: str, digest: str) -> None:
        """Remember a source whose bytes changed but not what is read from them."""
        change = "UPDATE articles SET source_digest = ? WHERE id = ? AND source_digest <> ?"
        with self._database.writing() as connection:
            connection.execute(change, (digest, article_id, digest))

    def _embed(
        self, window: Window, progress: Progress, before: int, share: float, stored: bool = True
    ) -> tuple[dict[str, bytes], int]:
        """Return each chunk's vector by the text it was made from, and how many had to be embedded.

        ``before`` were embedded in earlier windows, which are ``share`` of the work with this one; ``stored``
        vectors are taken over.
        """
        texts = {embedding_text(chunk) for _, chunks in window for chunk in chunks}
        vectors: dict[str, bytes] = {}
        if stored:
            old = self._stored_vectors(article for article, _ in window)
            vectors = {text: vector for text, vector in old if text in texts}
        missing = sorted(texts - vectors.keys(), key=len)
        done, total = 0, round((before + len(missing)) / share)
        embedder = self.embedder()
        if missing:
            require_unchanged(embedder)
            progress("embedding chunks", before, total)
        for batch in embed.chunk_vectors(missing, embedder):
            for text, vector in zip(missing[done : done + len(batch)], batch, strict=True):
                vectors[text] = vector.astype(np.float16).tobytes()
            done += len(batch)
            progress("embedding chunks", before + done, total)
        return vectors, len(missing)

    def _stored_vectors(self, articles: Iterable[Article]) -> Iterator[tuple[str, bytes]]:
        """Yield what was embedded for the stored versions of these articles, and its vector."""
        for article in articles:
            rows = self._database.rows(
                'SELECT number, title, heading, start, "end", substr(text, start + 1, "end" - start), vector'
                " FROM chunks JOIN articles ON articles.id = article_id WHERE article_id = ?",
                (article.id,),
            )
            yield from ((embedding_text(Chunk(article.id, *row[:-1])), row[-1]) for row in rows)

    def _store(self, window: Window, vectors: dict[str, bytes]) -> None:
        with self._database.writing() as connection:
            next_chunk = self._state().next_chunk
            for article, chunks in window:
                delete_article(connection, article.id)
                insert_article(connection, article)
                rows = [(next_chunk + number, chunk) for number, chunk in enumerate(chunks)]
                insert_chunks(connection, rows, [vectors[embedding_text(chunk)] for chunk in chunks])
                next_chunk += len(chunks)
            raise_generation(connection, next_chunk)

    def remove(self, article_ids: Sequence[str], progress: Progress) -> None:
        """Take articles out, all or none; raises UsageError if one of them is unknown."""
        with self._writing_alone(progress):
            self.require(article_ids)
            with self._database.writing() as connection:
                for article_id in article_ids:
                    delete_article(connection, article_id)
                raise_generation(connection)

    def rebuild(self, progress: Progress, embedder: Embedder | None = None) -> int:
        """Cut and embed every stored article again with the present make; return how many there are.

        They are embedded by ``embedder``, or else by that of the library, or the bundled one where that is not known.
        """
        with self._writing_alone(progress):
            embedder = embedder or embed.embedder_of(self._meta().get("embedder", "")) or embed.BUNDLED
            require_unchanged(embedder)
            with self._database.writing() as connection:
                rebuild_words(connection)
                _note_embedder(connection, embedder)
                # until the last is done, nothing searches what is partly of another make
                connection.execute("UPDATE meta SET value = '' WHERE key = 'chunking'")
            ids = [row[0] for row in self._database.rows("SELECT id FROM articles ORDER BY id")]
            embedded = finished = 0
            for window in windows(map(self.article, ids)):
                finished += len(window)
                vectors, new = self._embed(window, progress, embedded, finished / len(ids), stored=False)
                self._store(window, vectors)
                embedded += new
            with self._database.writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", MAKE.items())
                raise_generation(connection)
        return len(ids)


def _note_embedder(connection: sqlite3.Connection, embedder: Embedder) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('embedder', ?)", (embedder.record,))


def _free_id(wanted: str, taken: set[str]) -> str:
    identity, number = wanted, 2
    while identity in taken:
        identity, number = f"{wanted}-{number}", number + 1
    return identity
