"""Writes a BERT, an embedder or one trained from it, as a GGUF that llama.cpp runs.

Only sizes and weights go in: texts are cut into tokens outside of llama.cpp, so that it needs no vocabulary.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gguf import PoolingType

_MOST = 1 << 20
"""Of any size in a configuration."""
_LAYER_TENSORS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


class BertTensor(NamedTuple):
    """A tensor of a BERT: its names in model.safetensors and in a GGUF, and its shape."""

    name: str
    gguf_name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BertSizes:
    """The sizes of a BERT, and the epsilon of its layer normalization, as config.json names them."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    intermediate_size: int
    max_position_embeddings: int
    vocab_size: int
    type_vocab_size: int
    layer_norm_eps: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertSizes:
        """Return the sizes that a configuration has; raises ValueError where one is missing or cannot be."""
        if missing := [name for name in cls.__dataclass_fields__ if name not in config]:
            raise ValueError(f"lacks {missing[0]}")
        found = cls(*(config[name] for name in cls.__dataclass_fields__))
        *sizes, epsilon = astuple(found)
        if not all(type(size) is int and 0 < size <= _MOST for size in sizes):
            raise ValueError("has sizes that are no whole numbers from 1")
        if found.hidden_size % found.num_attention_heads:
            raise ValueError("has a hidden_size that is no multiple of num_attention_heads")
        if type(epsilon) is not float or not 0 < epsilon < 1:
            raise ValueError("has no small number as layer_norm_eps")
        return found

    def tensors(self) -> Iterator[BertTensor]:
        """Yield the tensors that llama.cpp needs."""
        hidden, wide = self.hidden_size, self.intermediate_size
        tables = {
            "word_embeddings": ("token_embd", self.vocab_size),
            "position_embeddings": ("position_embd", self.max_position_embeddings),
            "token_type_embeddings": ("token_types", self.type_vocab_size),
        }
        for name, (gguf_name, rows) in tables.items():
            yield BertTensor(f"embeddings.{name}.weight", f"{gguf_name}.weight", (rows, hidden))
        yield from _module("embeddings.LayerNorm", "token_embd_norm", (hidden,))
        shapes = {"intermediate.dense": (wide, hidden), "output.dense": (hidden, wide)}
        for layer in range(self.num_hidden_layers):
            for name, gguf_name in _LAYER_TENSORS.items():
                shape = (hidden,) if name.endswith("LayerNorm") else shapes.get(name, (hidden, hidden))
                yield from _module(f"encoder.layer.{layer}.{name}", f"blk.{layer}.{gguf_name}", shape)


def _module(name: str, gguf_name: str, shape: tuple[int, ...]) -> Iterator[BertTensor]:
    yield BertTensor(f"{name}.weight", f"{gguf_name}.weight", shape)
    yield BertTensor(f"{name}.bias", f"{gguf_name}.bias", shape[:1])


def write_bert(
    path: Path,
    folder: Path,
    name: str,
    pooling: PoolingType,
    replaced: Mapping[str, npt.NDArray[np.floating]] | None = None,
) -> None:
    """Write the model in ``folder`` (config.json, model.safetensors) to ``path``, matrices in float16.

    ``replaced`` holds tensors by their names in model.safetensors. Raises KeyError for a name that is not there.
    """
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    sizes = BertSizes.of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    writer = GGUFWriter(path, "bert")
    writer.add_name(name)
    writer.add_vocab_size(sizes.vocab_size)
    writer.add_context_length(sizes.max_position_embeddings)
    writer.add_embedding_length(sizes.hidden_size)
    writer.add_feed_forward_length(sizes.intermediate_size)
    writer.add_block_count(sizes.num_hidden_layers)
    writer.add_head_count(sizes.num_attention_heads)
    writer.add_layer_norm_eps(sizes.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(1)
    writer.add_tokenizer_model("no_vocab")
    writer.add_token_type_count(sizes.type_vocab_size)
    tensors = load_file(folder / "model.safetensors")
    if unknown := set(replaced or ()) - tensors.keys():
        raise KeyError(f"no such tensor: {sorted(unknown)[0]}")
    tensors.update(replaced or {})
    for tensor in sizes.tensors():
        matrix = len(tensor.shape) == 2 and tensor.gguf_name not in _SMALL_TABLES
        values = tensors[tensor.name].astype(np.float16 if matrix else np.float32)
        writer.add_tensor(tensor.gguf_name, values)
    with contextlib.closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


_SMALL_TABLES = ("position_embd.weight", "token_types.weight")
"""What stays in float32 as the vectors do."""
