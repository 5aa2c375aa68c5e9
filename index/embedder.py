"""Which model embeds a library: what is kept of it, and by what two of them are told apart."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, fields


@dataclass(frozen=True, slots=True)
class Embedder:
    """A model that embeds; two are equal that give the same vectors, wherever they lie.

    ``sha256`` is of the weights and ``settings`` of the other files; ``most_pieces`` tokens are read at once, marks
    included. ``in_llama`` says that llama.cpp runs it too; ``size`` and ``changed_ns`` tell whether the weights may
    have changed. The bundled one has no ``folder``.
    """

    sha256: str
    settings: str
    dimensions: int
    pooling: str
    question_prompt: str
    chunk_prompt: str
    most_pieces: int
    name: str = field(compare=False)
    folder: str = field(default="", compare=False)
    in_llama: bool = field(default=True, compare=False)
    size: int = field(default=0, compare=False)
    changed_ns: int = field(default=0, compare=False)

    @property
    def record(self) -> str:
        """What a library keeps of it."""
        return json.dumps(asdict(self)) if self.folder else self.identity

    @property
    def identity(self) -> str:
        """What differs between two that give other vectors."""
        if not self.folder:
            return f"{self.name} {self.sha256}"
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self) if one.compare})

    @property
    def option(self) -> str:
        """What ``--embedder`` takes for it, as a shell reads it."""
        return shlex.quote(self.folder) if self.folder else "bundled"


def recorded(record: str) -> Embedder | None:
    """Return the embedder in a folder that a library keeps this record of, or None if it is of no such one."""
    try:
        found = Embedder(**json.loads(record))
    except (ValueError, TypeError, RecursionError):
        return None
    typed = all(type(getattr(found, one.name)).__name__ == one.type for one in fields(found))
    return found if typed and found.folder else None
