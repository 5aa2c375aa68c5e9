"""A library's dense index: derived from the stored vectors, kept in a file, brought up to date when it is asked for."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.database import Database
from index.embed import Vectors
from index.vectors import State, VectorIndex, lists_for, saved_state
from index.windows import WINDOW

_STALE_SHARE = 0.1  # of the index, that may change in memory before its file is written anew
_STALE_CHUNKS = 1000


class DenseIndex:
    """The vectors of the chunks in a library's database, and the file that keeps them for the next process."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Nothing is read before it is asked for."""
        self._folder = folder
        self._file = folder / "vectors.faiss"
        self._database = database
        self._at_hand: tuple[State, VectorIndex] | None = None

    def at(self, state: State, dimensions: int) -> VectorIndex:
        """Return the index as it is at a state of the library, inside a snapshot of that."""
        if self._at_hand is None or self._at_hand[0] != state:
            self._at_hand = (state, self._current(state, dimensions))
        return self._at_hand[1]

    def is_stale(self, state: State) -> bool:
        """Whether the file is missing, or much has changed since it was written."""
        saved = saved_state(self._file)
        return saved is None or state.next_chunk - saved.next_chunk > _tolerated(saved.next_chunk)

    def fill(self, index: VectorIndex, first: int) -> None:
        """Put the stored vectors of the chunks from ``first`` on into an index, a window at a time."""
        rows = self._database.stream("SELECT id, vector FROM chunks WHERE id >= ? ORDER BY id", (first,))
        while window := list(itertools.islice(rows, WINDOW)):
            ids = np.array([row[0] for row in window], dtype=np.int64)
            index.add(ids, as_vectors((row[1] for row in window), index.dimensions))

    def _current(self, state: State, dimensions: int) -> VectorIndex:
        """Bring the index at hand, or else the saved one, to ``state``."""
        had = self._at_hand or VectorIndex.load(self._file)
        if had is not None and had[1].dimensions != dimensions:
            had = None
        if had is not None and had[0] == state:
            return had[1]
        index = self._caught_up(*had) if had is not None and had[0].next_chunk <= state.next_chunk else None
        if index is None:
            index = self._built(dimensions)
            self._save(index, state)
        return index

    def _caught_up(self, had: State, index: VectorIndex) -> VectorIndex | None:
        """Take out and add what changed since; None if so much did that the index is better made anew."""
        here = self._ids("SELECT id FROM chunks WHERE id < ?", had.next_chunk)
        gone = np.setdiff1d(index.ids[index.ids < had.next_chunk], here)
        new = self._database.rows("SELECT count(*) FROM chunks WHERE id >= ?", (had.next_chunk,))[0][0]
        if len(index) - len(gone) != len(here) or len(gone) + new > _tolerated(len(index)):
            return None
        if len(gone):
            index.remove(gone)
        self.fill(index, had.next_chunk)
        return index

    def _built(self, dimensions: int) -> VectorIndex:
        count = self._database.rows("SELECT count(*) FROM chunks")[0][0]
        lists, trained_on = lists_for(count)
        index = VectorIndex.exact(dimensions)
        if lists:
            rows = self._database.rows(
                "SELECT vector FROM chunks WHERE id % ? = 0 ORDER BY id", (max(1, count // trained_on),)
            )
            index = VectorIndex.in_lists(as_vectors((row[0] for row in rows), dimensions), lists)
        self.fill(index, 0)
        return index

    def _save(self, index: VectorIndex, state: State) -> None:
        """Keep the index for the next process, unless another one writes or the folder may only be read."""
        from filelock import FileLock, Timeout

        with (
            contextlib.suppress(OSError, Timeout),
            FileLock(self._folder / "writer.lock", timeout=0, is_singleton=False),
        ):
            index.save(self._file, state)

    def _ids(self, query: str, value: object) -> npt.NDArray[np.int64]:
        return np.array([row[0] for row in self._database.rows(query, (value,))], dtype=np.int64)


def as_vectors(stored: Iterable[bytes], dimensions: int) -> Vectors:
    """Return stored vectors (float16) as rows."""
    joined = np.frombuffer(b"".join(stored), dtype=np.float16)
    return joined.reshape(-1, dimensions).astype(np.float32)


def _tolerated(chunks: int) -> float:
    """Chunks that may be changed in memory before the file of an index of ``chunks`` is written anew."""
    return max(_STALE_CHUNKS, _STALE_SHARE * chunks)
