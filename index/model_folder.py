"""A folder in sentence-transformers' format -> the embedder that lies in it, or what is wrong with it.

What the folder holds is untrusted: its settings are read within limits and checked, its weights are safetensors
alone, and none of its code is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import ModelError
from index.bert_gguf import BertSizes
from index.embedder import Embedder
from index.weights import sha256_of, stamp

LEAST_PIECES, MOST_PIECES = 16, 512
"""Tokens that an embedder reads at once, its marks included; one that could read more is given no more."""
_MOST_DIMENSIONS = 8192
_MOST_PROMPT = 1000  # characters
_MOST_BYTES = 64 << 20  # of a file besides the weights
_MODULES = ("Transformer", "Pooling", "Normalize")
_CODE = ("auto_map", "quantization_config", "attn_implementation", "_attn_implementation")
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The ways of pooling, by what they were called before sentence-transformers 6, in the order of their joining."""
_READING: dict[str, tuple[object, ...]] = {
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "do_lower_case": (False, True),
}
"""What sentence_bert_config.json may set besides max_seq_length; the rest names methods, files and options."""
_SIZE = re.compile(r"size|dim|layer|d_model|d_ff|d_kv|n_embd")
_FLOATS = ("F16", "F32", "F64")
"""What numpy reads of them."""
_Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


def read_embedder(folder: Path, known: Embedder | None = None) -> Embedder:
    """Return the embedder in ``folder``; its ``in_llama`` says that it has the form of those that llama.cpp runs.

    The weights are not read if they are those of ``known``: in the same folder, of the same size and time of change.
    Raises ModelError if something is missing, damaged or not supported.
    """
    files = _Files(folder.expanduser().absolute())
    config = _config(files)
    pooling = files.json(f"{_pooling_folder(files)}/config.json")
    modes = _modes(files, pooling)
    dimensions = files.number(
        pooling, ("embedding_dimension", "word_embedding_dimension"), 1, _MOST_DIMENSIONS
    )
    question, chunk = _prompts(files)
    most_pieces = _most_pieces(files, config)
    for name in ("tokenizer.json", "special_tokens_map.json", "added_tokens.json"):
        files.read(name, needed=name == "tokenizer.json")
    tensors = _tensors(files)
    _require_bounds(files, config, tensors)
    plain = modes in (["mean"], ["cls"]) and pooling.get("include_prompt", True) is True
    in_llama = _is_bert(files, config, tensors, dimensions) and plain
    now = stamp(files.weights)
    return Embedder(
        sha256=_known_sha256(files, known, now) or sha256_of(files.weights),
        settings=files.digest.hexdigest(),
        dimensions=dimensions * len(modes),
        pooling="+".join(modes),
        question_prompt=question,
        chunk_prompt=chunk,
        most_pieces=most_pieces,
        name=_name_of(files.folder),
        folder=str(files.folder),
        in_llama=in_llama,
        **now,
    )


def require_unchanged(embedder: Embedder) -> None:
    """Raise ModelError, naming the remedies, unless an embedder still lies in its folder as it was."""
    if not embedder.folder:
        return
    try:
        found = read_embedder(Path(embedder.folder), embedder)
        wrong = "" if found == embedder else f"{embedder.folder}: its files are not what they were"
    except ModelError as error:
        wrong = str(error).rpartition(";")[0]
    if wrong:
        raise ModelError(
            f"{wrong}, and the library is made with it; put {embedder.name} back, or say where it lies with: "
            "rag add --embedder FOLDER, or go back with: rag add --rebuild --embedder bundled"
        )


def _known_sha256(files: _Files, known: Embedder | None, now: Mapping[str, int]) -> str:
    """Return the weights' SHA-256 as ``known`` has it, or nothing where they may be others."""
    if known is None or known.folder != str(files.folder):
        return ""
    return known.sha256 if now == {"size": known.size, "changed_ns": known.changed_ns} else ""


def _name_of(folder: Path) -> str:
    """Return a folder's name, or the repository's where it is one in the hub's cache."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return folder.name.encode(errors="replace").decode()


class _Files:
    """The files of a folder, and a digest of those that were read but for the weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights = folder / "model.safetensors"
        self.digest = hashlib.sha256()
        if not folder.is_dir():
            raise ModelError(f"{folder}: no such folder; name one that holds a sentence-transformers model")
        if not self.weights.is_file():
            raise self.error("has no model.safetensors, and weights of other kinds are not loaded")

    def error(self, what: str) -> ModelError:
        return ModelError(f"{self.folder}: {what}; name a folder as SentenceTransformer.save writes it")

    def read(self, name: str, needed: bool = True) -> bytes:
        path = self.folder / name
        if not path.is_file():  # a pipe is none, and might never end
            if needed:
                raise self.error(f"has no {name}")
            return b""
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}; check its permissions") from error
        if len(data) > _MOST_BYTES:
            raise self.error(f"its {name} has more than {_MOST_BYTES >> 20} MiB")
        self.digest.update(f"{name} {len(data)}\n".encode() + data)
        return data

    def value(self, name: str, needed: bool = True) -> Any:
        try:
            return json.loads(self.read(name, needed) or b"{}")
        except (ValueError, RecursionError) as error:
            raise self.error(f"its {name} is no JSON") from error

    def json(self, name: str, needed: bool = True) -> Mapping[str, Any]:
        value = self.value(name, needed)
        if not isinstance(value, dict):
            raise self.error(f"its {name} is no JSON object")
        return value

    def number(self, config: Mapping[str, Any], names: tuple[str, ...], least: int, most: int) -> int:
        """Return the whole number that has the first of these names that is there."""
        found = next((config[name] for name in names if name in config), None)
        if type(found) is not int or not least <= found <= most:
            raise self.error(f"its {names[0]} is no number from {least} to {most}")
        return found


def _config(files: _Files) -> Mapping[str, Any]:
    """Return config.json; refuse a model that would run code or needs another one."""
    config = files.json("config.json")
    if code := next((name for name in _CODE if config.get(name)), None):
        raise files.error(f"its config.json has {code}, and no code but transformers' own is run")
    if (files.folder / "adapter_config.json").exists():
        raise files.error("is an adapter of another model, to be merged with it first")
    return config


def _pooling_folder(files: _Files) -> str:
    """Return the folder of the module Pooling; refuse modules besides a plain embedder's."""
    modules = files.value("modules.json")
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise files.error("its modules.json is no list of modules")
    kinds = [str(module.get("type")) for module in modules]
    names = [kind.rpartition(".")[2] for kind in kinds if kind.startswith("sentence_transformers.")]
    paths = [str(module.get("path")) for module in modules]
    if len(names) != len(kinds) or names not in (list(_MODULES), list(_MODULES[:2])):
        raise files.error(f"has the modules {', '.join(kinds)[:200]!r}; only {', '.join(_MODULES)} are run")
    if paths[0] or any(not path or Path(path).name != path for path in paths[1:]):
        raise files.error(f"has its modules in {', '.join(paths)[:200]!r}")
    return paths[1]


def _modes(files: _Files, pooling: Mapping[str, Any]) -> list[str]:
    modes = pooling.get("pooling_mode") or [mode for name, mode in _MODES.items() if pooling.get(name)]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or not all(mode in _MODES.values() for mode in modes):
        raise files.error(f"its pooling is {modes!r:.100}, not one of {', '.join(_MODES.values())}")
    return modes


def _prompts(files: _Files) -> tuple[str, str]:
    """Return what is put before a question and before a chunk."""
    config = files.json("config_sentence_transformers.json", needed=False)
    prompts = config.get("prompts") or {}
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise files.error(f"is a {config['model_type']!r:.100}, not a SentenceTransformer")
    if not isinstance(prompts, dict) or not all(
        prompt is None or (isinstance(prompt, str) and len(prompt) <= _MOST_PROMPT)
        for prompt in prompts.values()
    ):
        raise files.error(f"its prompts are no texts of at most {_MOST_PROMPT} characters")
    default = config.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise files.error("its default_prompt_name is none of its prompts")

    def first(*names: str) -> str:
        given = [prompts[name] for name in names if prompts.get(name) is not None]
        return next(filter(None, given), "") if given else prompts.get(default) or ""

    return first("query"), first("document", "passage", "corpus")


def _most_pieces(files: _Files, config: Mapping[str, Any]) -> int:
    """Return how many tokens the model reads at once."""
    limits = [MOST_PIECES]
    for path in sorted(files.folder.glob("sentence_*_config.json")):
        reading = files.json(path.name)
        for name, value in reading.items():
            if name == "max_seq_length" and value is not None:
                limits.append(files.number(reading, (name,), LEAST_PIECES, 1 << 40))
            elif value is not None and value not in _READING.get(name, ()):
                raise files.error(f"its {path.name} sets {name}, which is not supported")
    tokenizer = files.json("tokenizer_config.json", needed=False)
    for name, found in ("model_max_length", tokenizer), ("max_position_embeddings", config):
        value = found.get(name)
        if isinstance(value, int | float) and value > 0:  # -1 stands for none
            limits.append(int(min(value, MOST_PIECES)))
    if min(limits) < LEAST_PIECES:
        raise files.error(f"reads {min(limits)} tokens at once, fewer than {LEAST_PIECES}")
    return min(limits)


def _tensors(files: _Files) -> _Tensors:
    """Return the type and the shape of each of the weights' tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(files.weights, framework="numpy") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            return {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        raise files.error(f"its model.safetensors is damaged ({str(error)[:100]})") from error


def _require_bounds(files: _Files, config: Mapping[str, Any], tensors: _Tensors) -> None:
    """Refuse sizes that the weights do not have, for a model of those is made before its weights are read."""
    largest = max((size for _, shape in tensors.values() for size in shape), default=0)
    for name, value in config.items():
        most = len(tensors) if "layer" in name else largest
        if isinstance(value, dict):
            _require_bounds(files, value, tensors)
        elif isinstance(value, int) and value > most and _SIZE.search(name):
            raise files.error(f"its config.json has the {name} {value}, which its weights have not")


def _is_bert(files: _Files, config: Mapping[str, Any], tensors: _Tensors, dimensions: int) -> bool:
    """Whether the weights are a plain BERT's, all there and of the sizes that config.json names."""
    if config.get("architectures") != ["BertModel"]:
        return False
    try:
        sizes = BertSizes.of(config)
    except ValueError as error:
        raise files.error(f"its config.json {error}") from error
    plain = config.get("hidden_act") == "gelu" and not config.get("is_decoder")
    absolute = config.get("position_embedding_type", "absolute") == "absolute"
    for tensor in sizes.tensors():
        kind, shape = tensors.get(tensor.name, ("", tensor.shape))
        if shape != tensor.shape:
            raise files.error(f"its {tensor.name} is {shape}, and by its config.json {tensor.shape}")
        plain = plain and kind in _FLOATS
    return plain and absolute and sizes.hidden_size == dimensions
