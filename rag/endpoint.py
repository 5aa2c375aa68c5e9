"""Speaks to the OpenAI-compatible endpoint of one address. Knows nothing about prompts.

Redirects and proxies are not followed, so that what is sent reaches that address alone; what comes is hostile.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from corpus.errors import ArticleError, ModelError
from corpus.fetch import one_line
from corpus.network import Network

if TYPE_CHECKING:
    import httpcore

MOST_SECONDS = 120.0
"""From the connection to the last byte of an answer; a slow machine has to read the prompt in it."""
MOST_BYTES = 1_000_000
KEY = "RAG_API_KEY"
"""The environment variable that holds the endpoint's key."""


@contextlib.contextmanager
def request(
    method: str, url: str, path: str, body: dict[str, Any] | None = None
) -> Iterator[Iterator[bytes]]:
    """Give the parts of an endpoint's answer as they come, in all at most MOST_BYTES within MOST_SECONDS.

    A request with a body asks for events. Raises ModelError for all that can go wrong, while it is read too.
    """
    import httpcore
    import httpx

    name = one_line(url)
    to = httpx.URL(url + path)
    headers: dict[bytes | str, bytes | str] = {
        "Host": to.netloc.decode("ascii"),
        "User-Agent": "faqtual",
        "Connection": "close",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    if key := os.environ.get(KEY, "").strip():
        if not (key.isascii() and key.isprintable()):
            raise ModelError(f"{KEY} has characters that no key has; set it again")
        headers["Authorization"] = f"Bearer {key}"
    network = Network(name, time.monotonic() + MOST_SECONDS, allow_private=True)
    target = httpcore.URL(scheme=to.raw_scheme, host=to.raw_host, port=to.port, target=to.raw_path)
    content = json.dumps(body).encode() if body else b""
    try:
        with (
            httpcore.ConnectionPool(network_backend=cast("httpcore.NetworkBackend", network)) as pool,
            pool.stream(method, target, headers=headers, content=content) as response,
        ):
            if response.status != 200:
                raise ModelError(f"{name}: {_refusal(response.status)}")
            if body and not _is_event_stream(response):
                raise not_compatible(url)
            yield _limited(response, name)
    except (TimeoutError, httpcore.TimeoutException) as error:
        raise ModelError(
            f"{name}: no full answer in {MOST_SECONDS:g} seconds; try again, or use a smaller model"
        ) from error
    except ArticleError as error:  # what the network says of a host that is not there
        raise ModelError(str(error)) from error
    except httpcore.ConnectError as error:
        raise ModelError(
            f"{name}: cannot connect ({one_line(str(error))}); start the server there, or check the address"
        ) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        what = one_line(str(error) or type(error).__name__)
        raise ModelError(f"{name}: the answer broke off ({what}); look at the server's log") from error


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"the server refuses the key ({status}); set {KEY} to one that it takes"
    if status == 404:
        return "no such model or endpoint there (404); check the address, which often ends in /v1, and #NAME"
    if 300 <= status < 400:
        return f"it leads elsewhere ({status}), which is not followed; use the address where it leads"
    return f"the server answered {status}; look at its log"


def _is_event_stream(response: httpcore.Response) -> bool:
    kinds = [value for key, value in response.headers if key.lower() == b"content-type"]
    return any(kind.lower().startswith(b"text/event-stream") for kind in kinds)


def _limited(response: httpcore.Response, name: str) -> Iterator[bytes]:
    received = 0
    for part in response.iter_stream():
        received += len(part)
        if received > MOST_BYTES:
            raise ModelError(f"{name}: more than {MOST_BYTES:,} bytes for one answer; use another server")
        yield part


def events(parts: Iterator[bytes], url: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each server-sent event until the one that says [DONE]."""
    pending = b""
    for part in parts:
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            field, _, data = line.partition(b":")
            if field != b"data":
                continue  # a comment, or a field that says nothing about the text
            if data.strip() == b"[DONE]":
                return
            try:
                event = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise not_compatible(url) from error
            if isinstance(event, dict) and "error" in event:
                raise ModelError(f"{one_line(url)}: the server reports a failure; look at its log")
            yield event
    raise ModelError(f"{one_line(url)}: the answer broke off before its end; look at the server's log")


def not_compatible(url: str) -> ModelError:
    """Return the error for an answer of some other kind."""
    return ModelError(
        f"{one_line(url)}: the answer is not that of an OpenAI-compatible server; check the address, which often ends in /v1"
    )
