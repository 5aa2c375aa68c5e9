"""What is not a result goes to standard error: lines, and on a terminal a bar with rate and time left."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.library import Library

_bar: Any = None


def say(line: str) -> None:
    """Print a line that is not a result."""
    _close()
    print(line, file=sys.stderr, flush=True)


def say_if_slow(library: Library) -> None:
    """Say so once where questions wait for torch, which llama.cpp spares them with most embedders."""
    if not (embedder := library.embedder()).in_llama:
        say(f"{embedder.name} does not run in llama.cpp: questions import torch (some seconds).")


def show_progress(stage: str, done: int, total: int) -> None:
    """Show how far ``stage`` is, on a terminal only; a stage without a total is said once, anywhere."""
    global _bar  # noqa: PLW0603 - one standard error, one bar
    if not total:
        say(f"{stage[:1].upper()}{stage[1:]}...")
    elif sys.stderr.isatty():
        from tqdm import tqdm

        if _bar is None or _bar.desc != stage:
            _close()
            unit = f" {stage.rsplit(maxsplit=1)[-1]}"
            columns, rows = shutil.get_terminal_size()  # 80 by 24 where the terminal does not tell
            size = {"ncols": columns, "nrows": rows}
            _bar = tqdm(
                initial=done, total=total, desc=stage, unit=unit, file=sys.stderr, leave=False, **size
            )
        _bar.total = total  # an estimate, as long as not all is read
        _bar.update(done - _bar.n)
        if done >= total:
            _close()


def _close() -> None:
    global _bar  # noqa: PLW0603
    if _bar is not None:
        _bar.close()
        _bar = None
