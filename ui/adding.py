"""Adds articles in a process of its own, which tells how far it is in lines of JSON.

So what embedding and parsing take in memory is gone when they are done, and answers go on meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import RagError
from index.embed import set_offline


def adding(folder: Path, places: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Add what is at these places; yield ``stage``, ``done`` and ``total``, and last what came of it.

    The last has the ids that are ``new``, ``changed`` and ``unchanged``, and the ``failures`` as lines.
    """
    command = [sys.executable, "-P", "-m", "ui.adding", str(folder), *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last: dict[str, Any] = {}
        try:
            for line in process.stdout:
                last = json.loads(line)
                yield last
        finally:
            process.terminate()  # nothing if it has ended; else nobody waits for it any more
    if "failures" not in last:
        yield {"failures": [f"adding broke off (status {process.returncode}); try again, or use: rag add"]}


def main(arguments: Sequence[str]) -> None:
    """Add ``arguments[1:]`` to the library at ``arguments[0]``."""
    from index.intake import add_places
    from index.library import Library

    set_offline()

    def tell(value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)

    def progress(stage: str, done: int, total: int) -> None:
        tell({"stage": stage, "done": done, "total": total})

    try:
        tell({"stage": "reading", "done": 0, "total": 0})
        with Library(Path(arguments[0])) as library:
            taken = add_places(library, arguments[1:], progress)
    except RagError as error:
        tell({"failures": [str(error)]})
        return
    added = taken.added
    ids = {"new": added.new, "changed": added.changed, "unchanged": added.unchanged}
    tell({**ids, "failures": taken.failures})


if __name__ == "__main__":
    main(sys.argv[1:])
