"""What ``--embedder`` names -> an embedder that a library can be made with: read from its folder, and tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from corpus.errors import ModelError
from index.embed import BUNDLED, Encoder, LlamaEncoder, TorchEncoder, Vectors
from index.embedder import Embedder
from index.model_folder import LEAST_PIECES, read_embedder

_TEXTS = (
    "",
    "What did it cost?",
    "  Élan, ÇA et LÀ: naïve Straße 日本語 Привет שלום 🙂\n",
    "def f(x): return x[0] != 'b'  # [SEP]",
    "seven hundred words " * 240,
)
_SAME = 0.9999
_NEARLY = 0.999
"""Least cosine of two vectors of one text: by llama.cpp and sentence-transformers, and by the latter in bfloat16."""


def find_embedder(option: str, known: Embedder | None = None) -> Embedder:
    """Return the embedder ``bundled`` or in a folder; ``in_llama`` where llama.cpp gives the vectors of torch.

    Takes seconds, unless it is ``known``. Raises ModelError if the model cannot be read or loaded, or its vectors are
    not sound.
    """
    if option == "bundled":
        return BUNDLED
    embedder = read_embedder(Path(option), known)
    if known is not None and embedder == known:
        return replace(embedder, in_llama=known.in_llama)
    expected = _expected(embedder)
    if embedder.in_llama and _least_cosine(expected, LlamaEncoder(embedder)) >= _SAME:
        return embedder
    if _least_cosine(expected, TorchEncoder(embedder)) < _NEARLY:  # what is missing is drawn at random
        raise _error(
            embedder, "gives other vectors each time that it is loaded, so weights of it are missing"
        )
    return replace(embedder, in_llama=False)


def _expected(embedder: Embedder) -> Vectors:
    """Return the texts' vectors by sentence-transformers in float32."""
    encoder = TorchEncoder(embedder, bfloat16=False)
    room = embedder.most_pieces - max(encoder.count([embedder.question_prompt, embedder.chunk_prompt]))
    if room < LEAST_PIECES:
        raise _error(embedder, f"has prompts that leave room for {room} of {embedder.most_pieces} tokens")
    vectors = np.concatenate(list(encoder.encode(_TEXTS, embedder.question_prompt)))
    if vectors.shape[1] != embedder.dimensions:
        raise _error(
            embedder, f"has {vectors.shape[1]} dimensions, but {embedder.dimensions} in its settings"
        )
    return vectors


def _least_cosine(expected: Vectors, encoder: Encoder) -> float:
    vectors = np.concatenate(list(encoder.encode(_TEXTS, encoder.embedder.question_prompt)))
    return float((vectors * expected).sum(axis=1).min())


def _error(embedder: Embedder, what: str) -> ModelError:
    return ModelError(f"{embedder.folder}: {what}; name a folder as SentenceTransformer.save writes it")
