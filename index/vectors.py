"""The FAISS index over chunk vectors, saved with what tells whether it is current.

Up to ``MOST_EXACT`` vectors the search is exact, over half-precision values, which is how the library stores them. Above
it, vectors are kept in lists by nearness (IVF) with 8 bits a value, and the nearest lists are searched;
evals/bench/scale.py measures what that costs in recall.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from index.embed import Vectors
from index.memory import address_space_left, promised_memory


class Hit(NamedTuple):
    """A chunk that a search found; ``score`` is the cosine (dense) or BM25 (words), larger is better."""

    chunk_id: int
    score: float


class State(NamedTuple):
    """Of which state of the library an index is: its generation, and the id its next chunk will have."""

    generation: int
    next_chunk: int


MOST_EXACT = 100_000
"""Vectors up to which every one is compared: 7 ms on two cores, and 57 ms for a million, which IVF searches in 3 ms."""
_PROBES = 64  # lists searched, of some 2,000 for a million vectors
_PER_LIST = 40  # vectors that a list is trained on
_FAISS_BYTES = 400 << 20  # of address space that it and its threads take while it is loaded


@functools.cache
def _faiss() -> Any:
    """FAISS, if there is room for it: it ends the process where it is refused memory while it is loaded."""
    with promised_memory(_FAISS_BYTES, "the search (FAISS)", address_space_left()):
        import faiss

    return faiss


class VectorIndex:
    """Chunk ids and their unit vectors."""

    def __init__(self, index: Any) -> None:
        """Wrap a FAISS index."""
        self._index = index

    @classmethod
    def exact(cls, dimensions: int) -> VectorIndex:
        """Return an empty index that compares every vector."""
        faiss = _faiss()
        half = faiss.ScalarQuantizer.QT_fp16
        return cls(
            faiss.IndexIDMap2(faiss.IndexScalarQuantizer(dimensions, half, faiss.METRIC_INNER_PRODUCT))
        )

    @classmethod
    def in_lists(cls, sample: Vectors, lists: int) -> VectorIndex:
        """Return an empty index of so many lists, laid out for vectors like the rows of ``sample``."""
        faiss = _faiss()
        index = faiss.index_factory(sample.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.train(sample)
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """Of the vectors in it."""
        return int(self._index.d)

    @property
    def approximate(self) -> bool:
        """Whether scores are approximate, and a near vector may be missed."""
        return hasattr(self._index, "nprobe")

    def search(self, vector: Vectors, k: int, among: npt.NDArray[np.int64] | None = None) -> list[Hit]:
        """Return the ``k`` nearest chunks by cosine; ``among`` restricts the search to those ids."""
        scores, ids = self._index.search(vector.reshape(1, -1), k, params=self._parameters(among))
        return [Hit(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]

    def _parameters(self, among: npt.NDArray[np.int64] | None) -> Any:
        faiss = _faiss()
        chosen = {} if among is None else {"sel": faiss.IDSelectorBatch(among)}
        if not self.approximate:
            exact: Any = faiss.SearchParameters
            return exact(**chosen)
        in_lists: Any = faiss.SearchParametersIVF
        # few articles may lie in any list
        return in_lists(nprobe=_PROBES if among is None else self._index.nlist, **chosen)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """The indexed chunks' ids."""
        faiss = _faiss()
        array: npt.NDArray[np.int64]
        if not self.approximate:
            array = faiss.vector_to_array(self._index.id_map)
            return array
        lists = self._index.invlists
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(n), lists.list_size(n)).copy()
            for n in range(lists.nlist)
            if lists.list_size(n)
        ]
        array = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        return array

    def add(self, ids: npt.NDArray[np.int64], vectors: Vectors) -> None:
        """Index more ``vectors`` (rows) under ``ids``, which must be new."""
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), ids)

    def remove(self, ids: npt.NDArray[np.int64]) -> None:
        """Take vectors out."""
        faiss = _faiss()
        self._index.remove_ids(faiss.IDSelectorBatch(ids))

    def save(self, path: Path, state: State) -> None:
        """Write the index, and then the record of its state and checksum beside it; one process at a time.

        Raises OSError if the folder cannot be written.
        """
        faiss = _faiss()
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
        faiss = _faiss()
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


def lists_for(count: int) -> tuple[int, int]:
    """Return how many lists so many vectors are kept in, and how many vectors those are trained on; 0 if in none."""
    lists = int(2 * count**0.5) if count > MOST_EXACT else 0
    return lists, lists * _PER_LIST


def _record_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
