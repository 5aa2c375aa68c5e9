"""Who may use the page: names and hashed passwords in a file, and how long repeated failures wait.

Knows nothing about Gradio but the form of its ``auth`` callable: a coroutine that takes a name and a password.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import RagError, UsageError

SHORTEST, LONGEST = 8, 1000
"""Characters of a password."""
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"\w[\w.@+-]{0,63}")
_SCHEME = "scrypt"
_COST = (1 << 15, 8, 3)
"""n, r and p of scrypt: 32 MiB and three passes, as OWASP's password storage cheat sheet has them."""
_DEAREST = (1 << 17, 8, 8)
"""What a file may ask for, lest a hostile one takes the memory."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password's scrypt hash (RFC 7914) with the cost and the salt that it was made with."""

    cost: tuple[int, int, int]
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> Hashed:
        """Return the hash of a password with a new salt."""
        salt = secrets.token_bytes(16)
        return cls(_COST, salt, _scrypt(password, _COST, salt))

    @classmethod
    def read(cls, text: str) -> Hashed:
        """Return what ``str`` wrote; raises ValueError for anything else."""
        scheme, n, r, p, salt, digest = text.split("$")
        cost = (int(n), int(r), int(p))
        whole = scheme == _SCHEME and all(1 <= c <= most for c, most in zip(cost, _DEAREST, strict=True))
        found = cls(cost, *(base64.b64decode(part, validate=True) for part in (salt, digest)))
        if (
            not whole
            or cost[0] < 2
            or cost[0] & (cost[0] - 1)
            or (len(found.salt), len(found.digest)) != (16, 32)
        ):
            raise ValueError(text)
        return found

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return "$".join([_SCHEME, *map(str, self.cost), salt, digest])

    def fits(self, password: str) -> bool:
        """Whether this is the password's hash; compared in constant time."""
        return hmac.compare_digest(_scrypt(password, self.cost, self.salt), self.digest)


def _scrypt(password: str, cost: tuple[int, int, int], salt: bytes) -> bytes:
    n, r, p = cost
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(typed, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + (1 << 20), dklen=32)


def read_users(path: Path) -> dict[str, Hashed]:
    """Return the hash of each name's password; raises RagError for a file that is missing, open to others or none."""
    remedy = f"add a user with: rag ui --auth {path} --add-user NAME"
    text = _private_text(path, remedy)
    users: dict[str, Hashed] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, hashed = line.strip().partition(":")
        try:
            if line.strip():
                users[clean_name(name)] = Hashed.read(hashed)
        except (ValueError, UsageError) as error:
            raise RagError(
                f"{path}: line {number} is not NAME:scrypt$...; take it out, then {remedy}"
            ) from error
    if not users:
        raise RagError(f"{path}: has no users; {remedy}")
    return users


def _private_text(path: Path, remedy: str) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RagError(f"{path}: not a file; {remedy}")
        if os.name == "posix" and found.st_mode & 0o077:
            raise RagError(f"{path}: others can read or write it; run: chmod 600 {path}")
        if found.st_size > _MOST_BYTES:
            raise RagError(f"{path}: too large for a list of users; {remedy}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RagError(f"{path}: not there; {remedy}") from error
    except OSError as error:
        raise RagError(f"{path}: {error.strerror}; name a file that can be read") from error
    except ValueError as error:
        raise RagError(f"{path}: not text in UTF-8; move it away, then {remedy}") from error


def clean_name(name: str) -> str:
    """Return a user's name as files and log-ins have it; raises UsageError if it cannot be one."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise UsageError("a name has at most 64 letters, digits and . _ @ + -, as in: --add-user anna")
    return name


def add_user(path: Path, name: str, password: str) -> bool:
    """Keep a user's password, hashed, in the file; return whether the name was there before.

    The file is replaced as a whole and readable by its owner alone. Raises UsageError for a name or a password
    that will not do, RagError if the file is none or cannot be written.
    """
    name = clean_name(name)
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST:,} characters; choose another")
    there = path.exists() and path.stat().st_size > 0
    users = read_users(path) if there else {}
    known = name in users
    users[name] = Hashed.of(password)
    _replace(path, "".join(f"{user}:{hashed}\n" for user, hashed in users.items()))
    return known


def _replace(path: Path, text: str) -> None:
    try:
        handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(new).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(new).unlink()
            raise
    except OSError as error:
        raise RagError(f"{path}: {error.strerror}; name a file that can be written") from error


class Door:
    """Lets in who knows a password; each failure makes the next try of that name wait, twice as long each time."""

    LONGEST_DELAY = 8.0
    """Seconds between two tries of a name."""
    LONGEST_WAIT = 20.0
    """Seconds that a try is kept waiting; one that would wait longer is refused unread."""
    _SLOTS = 4096
    """Names share this many counters, so that made-up names take no memory and look no different from others."""

    def __init__(self, users: dict[str, Hashed], first_delay: float = 0.5) -> None:
        import asyncio  # 20 ms, which only those who open the page pay

        self._users = users
        self._first_delay = first_delay
        self._tries: dict[int, int] = {}
        self._next: dict[int, float] = {}
        # A hash takes 32 MiB; a crowd at the door must not take gigabytes.
        self._hashing = asyncio.Semaphore(1)
        self._nobody = Hashed.of(secrets.token_hex())

    async def check(self, name: str, password: str) -> bool:
        """Whether the password is this name's; waits first if the name failed before."""
        import asyncio

        slot = hash(name) % self._SLOTS
        wait = max(0.0, self._next.get(slot, 0.0) - time.monotonic())
        if wait > self.LONGEST_WAIT or len(password) > LONGEST:
            return False
        self._count(slot, time.monotonic() + wait)
        await asyncio.sleep(wait)
        hashed = self._users.get(name, self._nobody)  # an unknown name takes as long as a known one
        async with self._hashing:
            fits = await asyncio.to_thread(hashed.fits, password)
        if fits:
            self._tries.pop(slot, None)
            self._next.pop(slot, None)
        return fits

    def _count(self, slot: int, begins: float) -> None:
        """Count a try before its outcome is known, so that tries at the same time wait for each other."""
        tries = self._tries[slot] = min(self._tries.get(slot, 0) + 1, 16)
        self._next[slot] = begins + min(self.LONGEST_DELAY, self._first_delay * 2 ** (tries - 1))
