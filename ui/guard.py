"""What the page is asked, before Gradio sees it: by which name, from which page, and by whom.

An ASGI middleware. Gradio's own log-in leaves some addresses open, and answers by any name that leads here; a page
elsewhere could use both (DNS rebinding, cross-site requests).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEADERS = {
    # Gradio writes its pages with inline scripts and builds templates by Function(): "inline" and "eval" must stay.
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Sent with every answer: nothing is loaded from outside, and no page elsewhere shows this one in a frame."""
SIGN_OUT = b"x-faqtual"
"""A header that the page's script alone can send: no link elsewhere signs anyone out."""
_MOST_LOGIN_BYTES = 4096
_HERE = Path(__file__).parent
_OUTBOUND = re.compile(r"/gradio_api/(proxy=.*|run-history/.*|file=(\w[\w+.-]*:|[/\\]{2}).*)", re.I | re.S)
"""Addresses by which Gradio would fetch from elsewhere on a caller's word."""


class Guard:
    """Passes on what was asked of this page by its own pages; with ``login``, by who is logged in."""

    def __init__(self, app: Callable[..., Awaitable[None]], host: str, login: bool = False) -> None:
        self._app = app
        self._names = own_names(host)
        self._any_address = not is_loopback(host)
        self._login_page = login_page() if login else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":  # Gradio 6 has none
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refusal := self._refusal(scope)) is not None:
            await _answer(_with_headers(send), *refusal)
        elif not self._login_page or _logged_in(scope):
            await self._app(scope, receive, _with_headers(send))
        else:
            await self._before_login(scope, receive, _with_headers(send))

    async def _before_login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the log-in page, or pass on a name and a password; nothing else is told to who is not logged in."""
        asked = (scope["method"], scope["path"])
        if asked == ("GET", "/"):
            await _answer(send, 200, self._login_page, b"text/html; charset=utf-8")
        elif asked == ("POST", "/login") and not _is_short(scope):
            await _answer(send, 413, b"A name and a password are shorter.\n")
        elif asked in (
            ("POST", "/login"),
            ("GET", "/gradio_api/startup-events"),
        ):  # the latter Gradio asks of itself
            await self._app({**scope, "query_string": b""}, receive, send)
        else:
            await _answer(send, 401, b"Log in first.\n")

    def _refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or not self._answers_to(hosts[0]):
            return (
                403,
                b"This page does not answer by that name; open it by the address that rag ui printed.\n",
            )
        if any(origin.partition("://")[2] != hosts[0] for origin in origins) or _from_elsewhere(scope):
            return 403, b"This page takes no requests from other pages.\n"
        if scope["path"].rstrip("/") == "/logout" and not _values(scope, SIGN_OUT):
            return 403, b"Sign out on the page.\n"
        if _OUTBOUND.fullmatch(scope["path"]):
            return 403, b"This page fetches nothing from elsewhere.\n"
        return None

    def _answers_to(self, host: str) -> bool:
        """Whether a Host header names this page; any port will do, and over the network any IP address.

        Only a name can be rebound (DNS rebinding), not an address.
        """
        name = _without_port(host).casefold()
        return name in self._names or (self._any_address and _address(name) is not None)


def login_page() -> bytes:
    """Return the page that asks for name and password, whole: it needs nothing else of the server."""
    page, colours = ((_HERE / name).read_text(encoding="utf-8") for name in ("login.html", "colours.css"))
    return page.replace("{colours}", colours).encode()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this host."""
    if host.casefold() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def own_names(host: str) -> frozenset[str]:
    """Return the names and addresses by which what listens on ``host`` may be asked."""
    names = {"localhost", "127.0.0.1", "::1", host.strip("[]")}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(name.casefold() for name in names)


def _without_port(host: str) -> str:
    found = re.fullmatch(r"\[([0-9a-f:.]+)\](?::\d+)?|([^:\[\]]+)(?::\d+)?", host, re.I)
    return (found[1] or found[2]) if found else ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _logged_in(scope: Scope) -> bool:
    """Whether a cookie is of a log-in that Gradio keeps."""
    gradio = scope["app"]
    try:
        cookies = SimpleCookie("; ".join(_values(scope, b"cookie")))
    except CookieError:
        return False
    names = (f"access-token-{gradio.cookie_id}", f"access-token-unsecure-{gradio.cookie_id}")
    return any(name in cookies and cookies[name].value in gradio.tokens for name in names)


def _is_short(scope: Scope) -> bool:
    """Whether a body is announced as no longer than a name and a password can be."""
    lengths = _values(scope, b"content-length")
    return len(lengths) == 1 and lengths[0].isdecimal() and int(lengths[0][:9]) <= _MOST_LOGIN_BYTES


def _from_elsewhere(scope: Scope) -> bool:
    """Whether a browser says that another page asks, other than by a link that opens this one."""
    sites, modes = _values(scope, b"sec-fetch-site"), _values(scope, b"sec-fetch-mode")
    follows_link = modes == ["navigate"] and scope["path"] == "/"
    return any(site in ("cross-site", "same-site") for site in sites) and not follows_link


def _with_headers(send: Send) -> Send:
    """Return a ``send`` that adds the headers to the answer."""
    ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            others = [
                (name, value) for name, value in message["headers"] if name.decode().lower() not in HEADERS
            ]
            message = {**message, "headers": [*others, *ours]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, body: bytes, kind: bytes = b"text/plain; charset=utf-8") -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
