"""Pinned model files: found inside an installed package, verified, and kept prepared in a cache folder.

Knows nothing about what the files are for. A prepared file is whole when its manifest, written last, is there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from corpus.errors import ModelError

_READ_BYTES = 1 << 20


def cache_folder() -> Path:
    """Return the per-user folder of prepared models; ``RAG_CACHE`` names another."""
    return Path(os.environ.get("RAG_CACHE") or platformdirs.user_cache_dir("faqtual", appauthor=False))


def package_file(package: str, inside: str, install: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package's code.

    Raises ModelError, naming the command ``install``, if the package or the file is missing.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / inside).is_file():
            return path
    raise ModelError(f"the package {package} with {inside} is not installed; run: {install}")


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file; raises ModelError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; check the path and its permissions") from error
    return digest.hexdigest()


def verify(path: Path, sha256: str, install: str) -> None:
    """Raise ModelError unless the file has the pinned checksum."""
    found = sha256_of(path)
    if found != sha256:
        raise ModelError(
            f"{path} is not the pinned file (sha256 {found[:12]}, not {sha256[:12]}); run: {install}"
        )


def prepared(name: str, recipe: str, make: Callable[[Path], None]) -> tuple[Path, str]:
    """Return a prepared file and its SHA-256, making it with ``make(path)`` where it is missing or damaged.

    ``recipe`` names everything the file depends on; another recipe makes another file. The content is
    hashed once: later calls compare the size and time of change that the manifest recorded then.
    Raises ModelError if the cache folder cannot be written.
    """
    folder = cache_folder()
    key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    path, manifest = folder / f"{name}-{key}.gguf", folder / f"{name}-{key}.json"
    if (sha256 := _recorded(path, manifest)) is not None:
        return path, sha256
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / path.name
            make(made)
            manifest.unlink(missing_ok=True)
            made.replace(path)
            sha256 = sha256_of(path)
            record = Path(scratch) / manifest.name
            record.write_text(json.dumps({"recipe": recipe, "sha256": sha256, **stamp(path)}))
            record.replace(manifest)
    except OSError as error:
        raise ModelError(
            f"{folder}: {error.strerror}; name a folder that can be written in RAG_CACHE"
        ) from error
    return path, sha256


def stamp(path: Path) -> dict[str, int]:
    """Return a file's size in bytes and time of change, by which a change of content is noticed."""
    status = path.stat()
    return {"size": status.st_size, "changed_ns": status.st_mtime_ns}


def _recorded(path: Path, manifest: Path) -> str | None:
    try:
        record = json.loads(manifest.read_text())
        now = stamp(path)
        return str(record["sha256"]) if all(record[key] == value for key, value in now.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
