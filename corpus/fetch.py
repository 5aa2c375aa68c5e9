"""A URL -> its bytes; a feed or sitemap -> the addresses it lists.

The one place that touches the network for articles, and only for an address that the user named. Knows nothing about
articles; what a server sends is hostile.
"""

from __future__ import annotations

import gzip
import io
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin

from corpus.errors import ArticleError
from corpus.network import Network

if TYPE_CHECKING:
    import httpcore
    import httpx

MOST_BYTES = 20_000_000
MOST_SECONDS = 30.0
MOST_REDIRECTS = 5
_LONGEST_SHOWN = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": "faqtual",
    "Accept": "text/html, application/xhtml+xml, text/markdown, text/plain, application/rss+xml, "
    "application/atom+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "close",
}
BY_HAND = "open it in a browser, save the page and add the file"
_HOST = re.compile(rb"[a-z0-9._:-]{1,253}")
_USER = re.compile(r"//[^/?#]*@")
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """What a server sent: ``content_type`` in lower case without parameters, ``url`` after redirects.

    ``charset`` is empty if the server declares none.
    """

    data: bytes
    content_type: str
    charset: str
    url: str


def is_url(text: str) -> bool:
    """Tell whether ``text`` is meant as a web address."""
    return text[:8].lower().startswith(("http://", "https://"))


def fetch(url: str, *, allow_private: bool = False) -> Page:
    """Get the page at ``url``: at most MOST_BYTES once unpacked, within MOST_SECONDS in all.

    Raises ArticleError if the address is not allowed or the server gives no such page.
    """
    deadline = time.monotonic() + MOST_SECONDS
    name = shown = one_line(url)
    target = _parsed(url, name)
    for _ in range(MOST_REDIRECTS + 1):
        answer = _get(target, Network(name, deadline, allow_private))
        if isinstance(answer, Page):
            return answer
        following = absolute(str(target), answer)
        name = f"{shown} (redirected to {one_line(following or answer)})"
        previous, target = target, _parsed(following, name)
        if previous.scheme == "https" and target.scheme == "http":
            raise ArticleError(f"{name}: this leaves https; if you trust it, add the http address itself")
    raise ArticleError(
        f"{shown}: more than {MOST_REDIRECTS} redirects; use the address where a browser ends up"
    )


def one_line(url: str) -> str:
    """Put an address on one short line of a message, without its user name and password."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in _USER.sub("//", url))
    return line if len(line) <= _LONGEST_SHOWN else line[:_LONGEST_SHOWN] + "…"


def _parsed(url: str, name: str) -> httpx.URL:
    import httpx

    if not is_url(url):
        raise ArticleError(f"{name}: not a web address; it must start with http:// or https://")
    try:
        parsed = httpx.URL(url)
        port = 80 if parsed.port is None else parsed.port
    except (httpx.InvalidURL, ValueError) as error:
        raise ArticleError(f"{name}: not a valid web address; check its spelling") from error
    if parsed.userinfo:
        raise ArticleError(f"{name}: the address carries a user name or password; remove it, or {BY_HAND}")
    if not _HOST.fullmatch(parsed.raw_host) or not 0 < port < 65536:
        raise ArticleError(f"{name}: not a valid web address; check its host name and port")
    return parsed


def absolute(base: str, link: str) -> str:
    """Make ``link`` absolute; empty if there is none or it cannot be."""
    try:
        return urljoin(base, link) if link else ""
    except ValueError:
        return ""


def _get(target: httpx.URL, network: Network) -> Page | str:
    """Ask one server once: the page, or the address that it redirects to."""
    import httpcore

    headers = {**_HEADERS, "Host": target.netloc.decode("ascii")}
    url = httpcore.URL(
        scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
    )
    with (
        _explained(network.name),
        httpcore.ConnectionPool(network_backend=cast("httpcore.NetworkBackend", network)) as pool,
        pool.stream("GET", url, headers=headers) as response,
    ):
        fields = {key.decode().lower(): value.decode(errors="replace") for key, value in response.headers}
        _check_status(response.status, network.name)
        if response.status in _REDIRECTS:
            return fields.get("location", "")
        data = _body(response, int(fields.get("content-length", 0)), network.name)
    data = unpacked(data, fields.get("content-encoding", ""), network.name)
    declared = fields.get("content-type", "")
    charset = _CHARSET.search(declared)
    kind = declared.partition(";")[0].strip().lower()
    return Page(data, kind, charset.group(1).lower() if charset else "", str(target))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the network and its libraries raise into an ArticleError."""
    import httpcore

    try:
        yield
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise ArticleError(f"{name}: no full answer in {MOST_SECONDS:g} seconds; try again later") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        untrusted = getattr(next(iter(error.args), None), "verify_message", "")
        what = (
            f"its certificate is not valid ({untrusted})"
            if untrusted
            else one_line(str(error) or "no answer")
        )
        raise ArticleError(f"{name}: {what}; check the address and whether a browser opens it") from error


def _check_status(status: int, name: str) -> None:
    if 200 <= status < 300 or status in _REDIRECTS:
        return
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    raise ArticleError(
        f"{name}: the server answered {f'{status} {phrase}'.strip()}; if a browser shows it, {BY_HAND}"
    )


def _body(response: httpcore.Response, declared: int, name: str) -> bytes:
    data = bytearray()
    if declared > MOST_BYTES:
        raise _too_large(name)
    for part in response.iter_stream():
        data += part
        if len(data) > MOST_BYTES:
            raise _too_large(name)
    return bytes(data)


def _too_large(name: str) -> ArticleError:
    return ArticleError(
        f"{name}: more than {MOST_BYTES:,} bytes; save the part that you need and add the file"
    )


def unpacked(data: bytes, encoding: str, name: str) -> bytes:
    """Undo a Content-Encoding, stopping at the size limit."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not data:
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ArticleError(
            f"{name}: sent in an encoding that was not asked for ({one_line(encoding)}); {BY_HAND}"
        )
    try:
        found = _inflated(data) if encoding == "deflate" else _gunzipped(data)
    except (EOFError, OSError, zlib.error) as error:
        raise ArticleError(f"{name}: its compressed data is damaged; try again later") from error
    if len(found) > MOST_BYTES:
        raise _too_large(name)
    return found


def _gunzipped(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(MOST_BYTES + 1)


def _inflated(data: bytes) -> bytes:
    """Undo "deflate", which some servers send without its zlib header."""
    has_header = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    inflater = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    found = inflater.decompress(data, MOST_BYTES + 1)
    if not inflater.eof and len(found) <= MOST_BYTES:
        raise EOFError
    return found
