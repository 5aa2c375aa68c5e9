"""Writes a BERT, the embedder's or one trained from it, as a GGUF that llama.cpp runs.

Only the pinned embedder's configuration, vocabulary and weights go in, and tensors that replace some of them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gguf import PoolingType

_EMBEDDING_TENSORS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
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


def write_bert(
    path: Path,
    folder: Path,
    name: str,
    pooling: PoolingType,
    replaced: Mapping[str, npt.NDArray[np.floating]] | None = None,
) -> None:
    """Write the model in ``folder`` (config.json, vocab.txt, model.safetensors) to ``path``, matrices in float16.

    ``replaced`` holds tensors by their names in model.safetensors. Raises KeyError for a name that is not there.
    """
    from gguf import GGUFWriter, TokenType
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "bert")
    writer.add_name(name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(1)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_token_list([_gguf_token(token) for token in vocabulary])
    writer.add_token_types([TokenType.NORMAL] * len(vocabulary))
    writer.add_bos_token_id(vocabulary.index("[CLS]"))
    writer.add_sep_token_id(vocabulary.index("[SEP]"))
    writer.add_eos_token_id(vocabulary.index("[SEP]"))
    writer.add_unk_token_id(vocabulary.index("[UNK]"))
    writer.add_pad_token_id(vocabulary.index("[PAD]"))
    writer.add_mask_token_id(vocabulary.index("[MASK]"))
    tensors = load_file(folder / "model.safetensors")
    if unknown := set(replaced or ()) - tensors.keys():
        raise KeyError(f"no such tensor: {sorted(unknown)[0]}")
    for tensor_name, tensor in {**tensors, **(replaced or {})}.items():
        if (gguf_name := _gguf_tensor(tensor_name)) is not None:
            matrix = tensor.ndim == 2 and "position" not in tensor_name and "token_type" not in tensor_name
            writer.add_tensor(gguf_name, tensor.astype(np.float16 if matrix else np.float32))
    with contextlib.closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def _gguf_token(token: str) -> str:
    """Word starts carry U+2581 and continuations nothing, the reverse of BERT's ``##`` marks."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def _gguf_tensor(name: str) -> str | None:
    if name in _EMBEDDING_TENSORS:
        return _EMBEDDING_TENSORS[name]
    stem, _, kind = name.rpartition(".")
    if stem in _EMBEDDING_TENSORS:
        return f"{_EMBEDDING_TENSORS[stem]}.{kind}"
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"] and parts[3] in _LAYER_TENSORS:
        return f"blk.{parts[2]}.{_LAYER_TENSORS[parts[3]]}.{kind}"
    return None
