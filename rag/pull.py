"""Downloads models of the catalogue from the Hugging Face hub, or from where ``HF_ENDPOINT`` points.

A file gets its name once it is whole and its checksum agrees; what an interrupted download left is gone on with.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import ModelError
from index.weights import sha256_of
from rag.catalogue import CatalogueModel
from rag.store import checksums, models_folder, pulled_sha256, record

_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "run the same command again, which goes on from what has arrived"


def pull(model: CatalogueModel) -> bool:
    """Download a model, or go on with it; return False if it was here already, whole.

    Raises ModelError if it cannot be downloaded, or is not what was pulled the first time.
    """
    from filelock import FileLock

    folder = models_folder()
    with _explained(model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "pull.lock"):
            if model.name in checksums() and (here := _sha256_if_whole(model)):
                record(model.name, folder / model.file, here)
                return False
            part, sha256 = _download(model, folder)
            _check(model, part, sha256)
            record(model.name, part, sha256)  # first: a file in place always has its record
            part.replace(folder / model.file)
    return True


def _sha256_if_whole(model: CatalogueModel) -> str:
    with contextlib.suppress(ModelError):
        return pulled_sha256(model, thorough=True)
    return ""


def _download(model: CatalogueModel, folder: Path) -> tuple[Path, str]:
    """Return the whole download and its SHA-256; the hub's own checksum was compared where it tells one."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a retry is no news
    with _online():
        url = hf_hub_url(model.repository, model.file)
        found = get_hf_file_metadata(url, token=False)
        etag = re.sub(r"\W", "", found.etag or "")
        part = folder / f"{model.file}.{etag[:16]}.part"
        for old in folder.glob(f"{model.file}.*.part"):
            if old != part or (found.size is not None and old.stat().st_size > found.size):
                old.unlink()
        with part.open("ab") as file:
            _check_space(folder, (found.size or 0) - file.tell())
            # Not hf_hub_download: since huggingface_hub 2 that throws away what an interrupted process had.
            http_get(
                url,
                file,
                resume_size=file.tell(),
                expected_size=found.size,
                displayed_filename=model.file,
            )
    sha256 = sha256_of(part)
    if _SHA256.fullmatch(etag) and sha256 != etag:
        part.unlink()
        raise ModelError(
            f"{model.name}: damaged on its way (sha256 {sha256[:12]}, not {etag[:12]}); pull again"
        )
    return part, sha256


def _check(model: CatalogueModel, part: Path, sha256: str) -> None:
    first = checksums().get(model.name, {}).get("sha256", sha256)
    with part.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    if first == sha256 and is_gguf:
        return
    part.unlink()
    if not is_gguf:
        raise ModelError(f"{model.name}: what was sent is no GGUF file; check what HF_ENDPOINT points to")
    raise ModelError(
        f"{model.name}: the hub's file is not the one first pulled (sha256 {sha256[:12]}, not {first[:12]}); "
        f"to trust it, delete {model.name} from {models_folder() / 'checksums.json'} and pull again"
    )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; "
            "free some space or name another folder in RAG_CACHE"
        )


@contextlib.contextmanager
def _online() -> Iterator[None]:
    """Let the hub's library out for this download alone; whatever imported it first had it kept offline."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _explained(model: CatalogueModel, folder: Path) -> Iterator[None]:
    """Turn what the hub's library, the network and the disk raise into a ModelError."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403, 404):  # the hub answers 401 for a repository that is gone
            place = f"{constants.ENDPOINT}/{model.repository}"
            raise ModelError(
                f"{model.name}: {place} has no {model.file} ({status}); "
                "download a GGUF by other means and run: rag models use FILE"
            ) from error
        raise ModelError(f"{model.name}: {constants.ENDPOINT} answered {status}; {_AGAIN}") from error
    except httpx2.HTTPError as error:
        raise ModelError(
            f"{model.name}: {constants.ENDPOINT} cannot be reached ({_reason(error)}); "
            f"check the connection and {_AGAIN}"
        ) from error
    except OSError as error:
        if error.errno is None:  # the hub's library, of a length that is wrong
            raise ModelError(f"{model.name}: the download is incomplete; {_AGAIN}") from error
        raise ModelError(
            f"{folder}: {error.strerror}; free some space or name another folder in RAG_CACHE"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
