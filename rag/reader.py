"""The evidence reader: one pass over a question and a chunk scores the chunk, its sentences and the answer in them.

Its weights are the embedder's, trained further by ``python -m rag.training``; llama.cpp runs them.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.bert_gguf import write_bert
from index.chunk import Chunk
from index.embed import EMBEDDER_SHA256, piece_ids, verified_embedder
from index.llama import open_gguf
from index.sentences import Span, statements
from index.weights import prepared, sha256_of, verify

Values = npt.NDArray[np.float32]
"""What the heads give each token, shape (tokens, heads)."""

HEADS = ("relevance", "sentence", "first", "last")
"""What the heads give each token; relevance is read at the first token alone."""
MOST_PIECES = 256
_QUESTION_PIECES, _PREFIX_PIECES = 64, 24
_CLS, _SEP = 101, 102
_LONGEST_ANSWER = 30  # word pieces
WEIGHTS = Path(__file__).parent / "weights" / "reader.safetensors"
WEIGHTS_SHA256 = "774ac4ca8f8e0c8a81fe34cb1e6f1a1d20a0cb062f432bcde86ed187df8533f1"  # python -m rag.training export prints it


@dataclass(frozen=True, slots=True)
class Encoded:
    """A question, what places the chunk and the chunk as word pieces; ``body`` is where the chunk's begin.

    ``sentences`` are ranges of tokens, empty for a sentence that was cut off; ``offsets`` the characters of each of
    the chunk's pieces.
    """

    ids: list[int]
    body: int
    sentences: list[tuple[int, int]]
    offsets: list[tuple[int, int]]

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and the last token of some characters, both counted from ``body``; None if cut off."""
        first = bisect.bisect_right([e for _, e in self.offsets], start)
        last = bisect.bisect_left([s for s, _ in self.offsets], end) - 1
        return (first, last) if first <= last < len(self.offsets) and start < end else None


def encode_pair(question: str, prefix: str, text: str, sentences: Sequence[tuple[int, int]]) -> Encoded:
    """Return ``[CLS] question [SEP] prefix [SEP] text [SEP]``, each part cut to its share of the pieces."""
    asked, _ = piece_ids(question)
    placed, _ = piece_ids(prefix)
    ids = [_CLS, *asked[:_QUESTION_PIECES], _SEP, *placed[:_PREFIX_PIECES], _SEP]
    pieces, offsets = piece_ids(text)
    room = MOST_PIECES - len(ids) - 1
    pieces, offsets = pieces[:room], offsets[:room]
    starts = [start for start, _ in offsets]
    bounds = [(bisect.bisect_left(starts, s), bisect.bisect_left(starts, e)) for s, e in sentences]
    body = len(ids)
    return Encoded([*ids, *pieces, _SEP], body, [(body + a, body + b) for a, b in bounds], offsets)


@dataclass(frozen=True, slots=True)
class ReadSentence:
    """What the reader makes of a sentence; ``start`` and ``end`` are offsets into the article's text.

    Scores are log-odds against "none of these": ``relevance`` of the chunk, ``sentence`` of the sentence as evidence and
    ``answer`` of the best answer within, which is ``[answer_start, answer_end)``.
    """

    start: int
    end: int
    relevance: float
    sentence: float
    answer: float
    answer_start: int
    answer_end: int


class Reader:
    """Reads chunks for a question through llama.cpp; not thread-safe."""

    def __init__(self, weights: Path | None = None) -> None:
        """Load the shipped weights, or others; raises ModelError if the shipped ones are not the pinned ones."""
        from llama_cpp import LLAMA_POOLING_TYPE_NONE
        from safetensors import safe_open

        if weights is None:
            verify(WEIGHTS, WEIGHTS_SHA256, "pip install --force-reinstall faqtual")
        source, sha256 = (WEIGHTS, WEIGHTS_SHA256) if weights is None else (weights, sha256_of(weights))
        recipe = f"{EMBEDDER_SHA256} {sha256} f16 v1"
        path, _ = prepared("reader", recipe, functools.partial(_export, source))
        self._model = open_gguf(
            path,
            embedding=True,
            pooling_type=LLAMA_POOLING_TYPE_NONE,
            n_ctx=MOST_PIECES,
            n_batch=MOST_PIECES,
            n_ubatch=MOST_PIECES,
            flash_attn=True,  # 32 ms for 165 pieces on two cores, against 46
        )
        with safe_open(source, framework="numpy") as tensors:  # the heads alone, not the layers
            self._weight = tensors.get_tensor("heads.weight").astype(np.float32)
            self._bias = tensors.get_tensor("heads.bias").astype(np.float32)

    def read(self, question: str, chunk: Chunk) -> tuple[ReadSentence, ...]:
        """Return the chunk's statements with their scores."""
        pair, spans = encode_chunk(question, chunk)
        return reading_of(chunk, pair, spans, self.values(pair.ids))

    def values(self, ids: Sequence[int]) -> Values:
        """Return the heads' values for each token, shape (tokens, heads)."""
        batch, context = self._model._batch, self._model._ctx
        batch.reset()
        batch.add_sequence(ids, 0, True)
        context.kv_cache_clear()
        context.decode(batch)
        size = len(ids) * self._weight.shape[1]
        hidden = np.ctypeslib.as_array(context.get_embeddings(), (size,)).reshape(len(ids), -1)
        values: Values = hidden @ self._weight.T + self._bias
        return values


def encode_chunk(question: str, chunk: Chunk) -> tuple[Encoded, list[Span]]:
    """Return a question and a chunk as the reader takes them, and the chunk's statements."""
    spans = statements(chunk.text)
    return encode_pair(question, prefix_of(chunk), chunk.text, spans), spans


def prefix_of(chunk: Chunk) -> str:
    """Return what places a chunk: title and heading."""
    return ". ".join(part for part in (chunk.title, chunk.heading) if part)


def reading_of(
    chunk: Chunk, pair: Encoded, spans: Sequence[Span], values: Values
) -> tuple[ReadSentence, ...]:
    """Return a chunk's statements with their scores, from its tokens' values; what was cut off is left out."""
    read = []
    relevance = float(values[0, 0])
    for span, (start, end) in zip(spans, pair.sentences, strict=True):
        if start < end:
            answers = values[start:end, 2][:, None] + values[start:end, 3][None, :]
            fits = np.triu(np.tri(end - start, k=_LONGEST_ANSWER - 1, dtype=bool))
            first, last = divmod(int(np.where(fits, answers, -np.inf).argmax()), end - start)
            offsets = pair.offsets[start - pair.body : end - pair.body]
            read.append(
                ReadSentence(
                    chunk.start + span.start,
                    chunk.start + span.end,
                    relevance,
                    float(values[start:end, 1].mean()),
                    float(answers[first, last]),
                    chunk.start + offsets[first][0],
                    chunk.start + offsets[last][1],
                )
            )
    return tuple(read)


def _export(source: Path, path: Path) -> None:
    from gguf import PoolingType
    from safetensors.numpy import load_file

    layers = {name: tensor for name, tensor in load_file(source).items() if not name.startswith("heads.")}
    write_bert(path, verified_embedder(), "faqtual-reader", PoolingType.NONE, layers)
