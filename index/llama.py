"""Opens a GGUF with llama.cpp: the settings that both the encoder of questions and the writer need."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from pathlib import Path
from typing import Any

from corpus.errors import ModelError
from index.memory import promised_memory

# Threads that spin while they wait keep the working one from its core when another process is busy: a
# cold answer then took 6.8 s, and 1.6 s with this; alone the two are equal. OpenMP reads it when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


_setting_up = threading.Lock()
_BUFFERS = 240 << 20
"""Bytes besides the weights: for the bundled model measured, for one of 8 billion with a seventh of the file reckoned."""


def open_gguf(path: Path, **settings: Any) -> Any:
    """Return a ``llama_cpp.Llama``, silent, on all cores or OMP_NUM_THREADS of them.

    Raises ModelError if llama.cpp cannot load the file, or there is not the memory for it.
    """
    from llama_cpp import Llama

    with _setting_up:
        quiet()
        _leave_output_alone()
        _keep_off_amx()
    size = path.stat().st_size if path.is_file() else 0
    named = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(named) if named.isdecimal() and int(named) else os.cpu_count() or 1
    try:
        with promised_memory(size + size // 7 + _BUFFERS, str(path)):
            model = Llama(str(path), n_threads=threads, n_threads_batch=threads, verbose=False, **settings)
    except (ValueError, OSError, RuntimeError) as error:
        raise ModelError(
            f"{path}: llama.cpp cannot load it (damaged?); download or prepare it again"
        ) from error
    return model


def quiet() -> None:
    """Keep llama.cpp's log off standard error, warnings and errors too; a failure is raised as an error of ours."""
    import llama_cpp

    llama_cpp.llama_log_set(_unheard(), None)


@functools.cache
def _unheard() -> Any:
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda level, text, data: None)


def _leave_output_alone() -> None:
    """Keep llama-cpp-python from turning the process's output away while it loads a model.

    It would turn away what other threads print meanwhile, and two loads at once would leave it turned away. The log is
    kept quiet above.
    """
    import llama_cpp._internals as internals
    import llama_cpp.llama as high_level

    for module in (internals, high_level):
        module.suppress_stdout_stderr = lambda disable: contextlib.nullcontext()


@functools.cache
def _has_amx() -> bool:
    with contextlib.suppress(OSError):
        return "amx_int8" in Path("/proc/cpuinfo").read_text()
    return False


@functools.cache
def _keep_off_amx() -> None:
    """Keep weights out of AMX buffers, in every model that is loaded from now on.

    llama.cpp's product on AMX ends the process at the first token on some processors
    (ggml-org/llama.cpp#20824); llama-cpp-python has no setting for it.
    """
    import llama_cpp.llama_cpp as bindings

    if not _has_amx():
        return
    default = bindings.llama_model_default_params

    def plain_buffers() -> Any:
        params = default()
        params.use_extra_bufts = False
        return params

    bindings.llama_model_default_params = plain_buffers
