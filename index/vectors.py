"""The FAISS index over chunk vectors: exact inner product, saved with what tells whether it is current."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from index.embed import DIMENSIONS, Vectors


class Hit(NamedTuple):
    """A chunk that a search found; ``score`` is the cosine (dense) or BM25 (words), larger is better."""

    chunk_id: int
    score: float


class State(NamedTuple):
    """Of which state of the library an index is: its generation, and the id its next chunk will have."""

    generation: int
    next_chunk: int


class VectorIndex:
    """Chunk ids and their unit vectors, searched exactly."""

    def __init__(self, index: Any = None) -> None:
        """Wrap a FAISS index, or make an empty one."""
        import faiss

        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSIONS)) if index is None else index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, vector: Vectors, k: int, among: npt.NDArray[np.int64] | None = None) -> list[Hit]:
        """Return the ``k`` nearest chunks by cosine; ``among`` restricts the search to those ids."""

        options = _among(among) if among is not None else None
        scores, ids = self._index.search(vector.reshape(1, -1), k, params=options)
        return [Hit(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """The indexed chunks' ids."""
        import faiss

        array: npt.NDArray[np.int64] = faiss.vector_to_array(self._index.id_map)
        return array

    def add(self, ids: npt.NDArray[np.int64], vectors: Vectors) -> None:
        """Index more ``vectors`` (rows) under ``ids``, which must be new."""
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), ids)

    def remove(self, ids: npt.NDArray[np.int64]) -> None:
        """Take vectors out."""
        import faiss

        self._index.remove_ids(faiss.IDSelectorBatch(ids))

    def save(self, path: Path, state: State) -> None:
        """Write the index, and then the record of its state and checksum beside it; one process at a time.

        Raises OSError if the folder cannot be written.
        """
        import faiss

        scratch = path.with_name(f"{path.name}.new")
        try:
            faiss.write_index(self._index, str(scratch))
        except RuntimeError as error:  # FAISS says so of a full disk or a folder that is not writable
            raise OSError(f"cannot write {scratch}") from error
        record = {**state._asdict(), "sha256": _sha256(scratch)}
        scratch.replace(path)
        scratch.write_text(json.dumps(record))
        scratch.replace(_record_of(path))

    @classmethod
    def load(cls, path: Path) -> tuple[State, VectorIndex] | None:
        """Return the saved index with the state it is of, or None where it is missing or damaged."""
        import faiss

        try:
            state, sha256 = _read_record(path)
            whole = sha256 == _sha256(path)
        except _UNREADABLE:
            return None
        return (state, cls(faiss.read_index(str(path)))) if whole else None


_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def saved_state(path: Path) -> State | None:
    """Return the state that the index saved at ``path`` is of, or None where there is none."""
    try:
        return _read_record(path)[0]
    except _UNREADABLE:
        return None


def _read_record(path: Path) -> tuple[State, str]:
    record = json.loads(_record_of(path).read_bytes())
    return State(int(record["generation"]), int(record["next_chunk"])), str(record["sha256"])


def _among(ids: npt.NDArray[np.int64]) -> Any:
    import faiss

    parameters: Any = faiss.SearchParameters
    return parameters(sel=faiss.IDSelectorBatch(ids))


def _record_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
