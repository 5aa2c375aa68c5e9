"""How much memory this process can still have, so that a model that does not fit is refused in words.

Without this the operating system ends the process in the middle of an answer, or a library meets a null pointer.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import ModelError

_CGROUP = Path("/sys/fs/cgroup")
_promising = threading.Lock()
_promised: list[int] = []


def available_bytes() -> int:
    """Return what is left of the machine's memory, the container's limit and the address space, whichever is least."""
    return min(address_space_left(), *_memory_left())


def address_space_left() -> int:
    """Return the bytes that the process may still map (``ulimit -v``); the largest integer where nothing limits it."""
    with contextlib.suppress(ImportError, OSError, KeyError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            return soft - _fields(Path("/proc/self/status"))["VmSize"] * 1024
    return sys.maxsize


def require_memory(needed: int, what: str, available: int | None = None) -> None:
    """Raise ModelError, naming the remedy, if ``needed`` bytes are more than the process can have."""
    left = (available_bytes() if available is None else available) - sum(_promised)
    if needed > left:
        raise ModelError(
            f"{what} needs some {needed >> 20} MiB of memory and {max(0, left) >> 20} MiB are free; "
            "close other programs, raise the limit or name a smaller --model"
        )


@contextlib.contextmanager
def promised_memory(needed: int, what: str, available: int | None = None) -> Iterator[None]:
    """Hold so many bytes while something loads: what loads beside it is not promised the same memory.

    Raises ModelError as ``require_memory`` does.
    """
    with _promising:
        require_memory(needed, what, available)
        _promised.append(needed)
    try:
        yield
    finally:
        with _promising:
            _promised.remove(needed)


def _memory_left() -> Iterator[int]:
    yield sys.maxsize
    with contextlib.suppress(OSError, KeyError, ValueError):
        yield _fields(Path("/proc/meminfo"))["MemAvailable"] * 1024
    with contextlib.suppress(OSError, KeyError, ValueError):  # "max" is no number: no limit
        most = int((_CGROUP / "memory.max").read_text())
        reclaimable = _fields(_CGROUP / "memory.stat")["inactive_file"]
        yield most - int((_CGROUP / "memory.current").read_text()) + reclaimable


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as ``Name: 12 kB``."""
    rows = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
