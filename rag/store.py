"""The models folder: pulled files, the checksums recorded for them, and which model is in use.

Knows nothing about the network, nor about what a model does.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from corpus.errors import ModelError
from index.weights import cache_folder, sha256_of, stamp
from rag.catalogue import CatalogueModel


def models_folder() -> Path:
    """Return the folder of pulled models."""
    return cache_folder() / "models"


def default_model() -> str:
    """Return the name or path that ``rag models use`` was given last, or ``bundled``."""
    return str(_read("settings.json").get("model", "bundled"))


def set_default(name: str) -> None:
    """Make a model the one that is used from now on."""
    _change("settings.json", {"model": name})


def checksums() -> dict[str, dict[str, Any]]:
    """Return what is recorded of each catalogue name and of each path that was used."""
    return _read("checksums.json")


def record(key: str, path: Path, sha256: str) -> None:
    """Record a file's SHA-256 under a catalogue name or its path, with its size and time of change."""
    _change("checksums.json", {key: {"sha256": sha256, **stamp(path)}})


def sha256_known(key: str, path: Path) -> str:
    """Return the file's SHA-256: as recorded where neither size nor time changed since, else computed."""
    known = checksums().get(key, {})
    try:
        unchanged = all(known.get(name) == value for name, value in stamp(path).items())
    except OSError:
        unchanged = False
    return str(known["sha256"]) if unchanged else sha256_of(path)


def pulled_sha256(model: CatalogueModel, *, thorough: bool = False) -> str:
    """Return a pulled model's SHA-256; ``thorough`` reads the file even if nothing tells that it changed.

    Raises ModelError if it was not pulled, or its content is not what was pulled first.
    """
    path = models_folder() / model.file
    first = checksums().get(model.name)
    mend = f"run: rag models pull {model.name}"
    if first is None or not path.is_file():
        raise ModelError(f"{model.name} is not pulled yet; {mend}")
    sha256 = sha256_of(path) if thorough else sha256_known(model.name, path)
    if sha256 != first["sha256"]:
        raise ModelError(f"{path} is not what was pulled first, it is damaged or was replaced; {mend}")
    return sha256


def _read(name: str) -> dict[str, Any]:
    path = models_folder() / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; check its permissions") from error
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is damaged; delete it and run the command again")
    return value


def _change(name: str, values: dict[str, Any]) -> None:
    """Put values into a JSON file, one process at a time; it is whole, before or after, at any instant."""
    from filelock import FileLock

    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"), tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / name
            with made.open("w", encoding="utf-8") as file:
                json.dump(_read(name) | values, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            made.replace(folder / name)
    except OSError as error:
        raise ModelError(
            f"{folder}: {error.strerror}; name a folder that can be written in RAG_CACHE"
        ) from error
