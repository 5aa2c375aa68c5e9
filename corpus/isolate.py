"""Reads documents and feeds in a process of its own: one that crashes, hangs or swells costs itself alone.

``python -m corpus.isolate`` is that process. A message is its length and as much JSON, then the raw bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

from corpus.article import Faq
from corpus.blocks import Block, Document
from corpus.errors import ArticleError
from corpus.feeds import Links
from corpus.fetch import Page, one_line

MOST_SECONDS = 120.0
"""Time that one document may take to read."""
_MOST_MEMORY = 4 << 30
_HEAD = struct.Struct(">QQ")


class IsolatedReader:
    """The other process, started at the first document; use as a context manager."""

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most_seconds = most_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, data: bytes, suffix: str, name: str, charset: str = "") -> Document:
        """Read one document as ``corpus.readers.read_document`` does.

        Raises ArticleError also if reading it ends the process or takes more than the time allowed.
        """
        request = {"kind": "document", "suffix": suffix, "name": name, "charset": charset}
        return _document(self._reply(request, data))

    def links(self, page: Page) -> Links | None:
        """Read a feed or sitemap as ``corpus.feeds.listed_links`` does; raises ArticleError as ``read`` does."""
        reply = self._reply({"kind": "links", "name": one_line(page.url), "url": page.url}, page.data)
        return Links(tuple(reply["articles"]), tuple(reply["sitemaps"])) if reply else None

    def _reply(self, request: dict[str, str], data: bytes) -> dict[str, Any]:
        process = self._process or self._start()
        deadline = time.monotonic() + self._most_seconds
        name = request["name"]
        try:
            _write(process.stdin, request, data)
            reply, _ = _read(_before(process.stdout, deadline))
        except TimeoutError as error:
            self._stop()
            raise ArticleError(
                f"{name}: took more than {self._most_seconds:.0f} s to read; split it or save it as plain text"
            ) from error
        except (EOFError, OSError) as error:
            self._stop()
            raise ArticleError(f"{name}: its content breaks the reader; save it as plain text") from error
        if "error" in reply:
            raise ArticleError(reply["error"])
        found: dict[str, Any] = reply["found"]
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: a folder in which the command is run cannot put its own modules in the way
        command = [sys.executable, "-P", "-m", "corpus.isolate"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None


def _before(stream: IO[bytes] | None, deadline: float) -> Callable[[int], bytes]:
    """Return a reader of exactly so many bytes that raises TimeoutError after the deadline."""
    assert stream is not None
    descriptor = stream.fileno()

    def read(count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            part = os.read(descriptor, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return read


def _write(stream: IO[bytes] | None, message: dict[str, Any], data: bytes = b"") -> None:
    assert stream is not None
    encoded = json.dumps(message).encode()
    stream.write(_HEAD.pack(len(encoded), len(data)))
    stream.write(encoded)
    stream.write(data)
    stream.flush()


def _read(read: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes]:
    message_size, data_size = _HEAD.unpack(read(_HEAD.size))
    return json.loads(read(message_size)), read(data_size)


def _document(fields: dict[str, Any]) -> Document:
    blocks = tuple(Block(**block) for block in fields.pop("blocks"))
    faqs = tuple(Faq(**faq) for faq in fields.pop("faqs"))
    return Document(blocks, faqs, **fields)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))


def _found(request: dict[str, str], data: bytes) -> dict[str, Any]:
    from corpus.feeds import listed_links
    from corpus.readers import read_document

    if request["kind"] == "links":
        links = listed_links(data, request["url"])
        return asdict(links) if links else {}
    return asdict(read_document(data, request["suffix"], request["name"], request["charset"]))


def _serve() -> None:
    """Answer requests until the other side closes."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not a reply
    _limit_memory()

    def read(count: int) -> bytes:
        data = sys.stdin.buffer.read(count)
        if len(data) < count:
            raise EOFError
        return data

    while True:
        try:
            request, data = _read(read)
        except EOFError:
            return
        reply: dict[str, Any]
        try:
            reply = {"found": _found(request, data)}
        except ArticleError as error:
            reply = {"error": str(error)}
        except MemoryError:
            reply = {"error": f"{request['name']}: too large to read; split it"}
        _write(replies, reply)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
