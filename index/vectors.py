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


class VectorIndex:
    """Chunk ids and their unit vectors, searched exactly."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, ids: npt.NDArray[np.int64], vectors: Vectors) -> VectorIndex:
        """Index ``vectors`` (rows) under ``ids``."""
        import faiss

        index = faiss.IndexIDMap2(faiss.IndexFlatIP(DIMENSIONS))
        index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), ids)
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, vector: Vectors, k: int, among: npt.NDArray[np.int64] | None = None) -> list[Hit]:
        """Return the ``k`` nearest chunks by cosine; ``among`` restricts the search to those ids."""

        options = _among(among) if among is not None else None
        scores, ids = self._index.search(vector.reshape(1, -1), k, params=options)
        return [Hit(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]

    def save(self, path: Path, generation: int) -> None:
        """Write the index, and then the record of its generation and checksum beside it.

        Raises OSError if the folder cannot be written.
        """
        import faiss

        data = faiss.serialize_index(self._index).tobytes()
        record = {"generation": generation, "sha256": hashlib.sha256(data).hexdigest()}
        _replace(path, data)
        _replace(_record_of(path), json.dumps(record).encode())

    @classmethod
    def load(cls, path: Path, generation: int) -> VectorIndex | None:
        """Return the saved index, or None where it is missing, damaged or of another generation."""
        import faiss

        try:
            record = json.loads(_record_of(path).read_bytes())
            data = path.read_bytes()
            current = record["generation"] == generation
            whole = record["sha256"] == hashlib.sha256(data).hexdigest()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not (current and whole):
            return None
        return cls(faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)))


def _among(ids: npt.NDArray[np.int64]) -> Any:
    import faiss

    parameters: Any = faiss.SearchParameters
    return parameters(sel=faiss.IDSelectorBatch(ids))


def _record_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _replace(path: Path, data: bytes) -> None:
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_bytes(data)
    scratch.replace(path)
