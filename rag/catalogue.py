"""The open-weight models that ``rag models pull`` knows by name, all instruction-tuned and quantized to Q4_K_M."""

from __future__ import annotations

from dataclasses import dataclass

from corpus.errors import ModelError

BUNDLED = "SmolLM2-135M-Instruct"
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A GGUF on the Hugging Face hub; ``size`` and ``memory`` in bytes.

    ``memory`` is an estimate, not a measurement: the file, the context of 2,048 tokens, the buffers that grow
    with the vocabulary, and the rest of the process.
    """

    name: str
    repository: str
    file: str
    parameters: str
    licence: str
    size: int
    memory: int


_QWEN25, _BARTOWSKI = "Qwen/Qwen2.5-{}-Instruct-GGUF", "bartowski/{}-GGUF"
_MODELS = (
    CatalogueModel(
        "qwen2.5-0.5b",
        _QWEN25.format("0.5B"),
        "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        "0.5B",
        "Apache-2.0",
        491_400_032,
        1_200 * _MB,
    ),
    CatalogueModel(
        "smollm2-1.7b",
        _BARTOWSKI.format("SmolLM2-1.7B-Instruct"),
        "SmolLM2-1.7B-Instruct-Q4_K_M.gguf",
        "1.7B",
        "Apache-2.0",
        1_055_609_824,
        1_900 * _MB,
    ),
    CatalogueModel(
        "qwen2.5-1.5b",
        _QWEN25.format("1.5B"),
        "qwen2.5-1.5b-instruct-q4_k_m.gguf",
        "1.5B",
        "Apache-2.0",
        1_117_320_736,
        1_800 * _MB,
    ),
    CatalogueModel(
        "llama-3.2-3b",
        _BARTOWSKI.format("Llama-3.2-3B-Instruct"),
        "Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        "3.2B",
        "Llama 3.2 Community",
        2_019_377_696,
        2_900 * _MB,
    ),
    CatalogueModel(
        "phi-3.5-mini",
        _BARTOWSKI.format("Phi-3.5-mini-instruct"),
        "Phi-3.5-mini-instruct-Q4_K_M.gguf",
        "3.8B",
        "MIT",
        2_393_232_672,
        3_700 * _MB,
    ),
    CatalogueModel(
        "gemma-3-4b",
        "ggml-org/gemma-3-4b-it-GGUF",
        "gemma-3-4b-it-Q4_K_M.gguf",
        "3.9B",
        "Gemma",
        2_489_757_856,
        3_700 * _MB,
    ),
    CatalogueModel(
        "qwen3-4b",
        "unsloth/Qwen3-4B-Instruct-2507-GGUF",
        "Qwen3-4B-Instruct-2507-Q4_K_M.gguf",
        "4.0B",
        "Apache-2.0",
        2_497_281_120,
        3_500 * _MB,
    ),
    CatalogueModel(
        "qwen2.5-7b",
        _BARTOWSKI.format("Qwen2.5-7B-Instruct"),
        "Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        "7.6B",
        "Apache-2.0",
        4_683_074_240,
        5_500 * _MB,
    ),
)
CATALOGUE = {model.name: model for model in _MODELS}


def catalogue_model(name: str) -> CatalogueModel:
    """Return the model of that name; raises ModelError that lists the names if there is none."""
    if name not in CATALOGUE:
        raise ModelError(f"no model {name} in the catalogue; it has: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
