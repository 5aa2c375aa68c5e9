"""A model behind an OpenAI-compatible endpoint that the user names: the one way in which a question leaves the machine.

What goes there is the prompt, to that address alone: redirects and proxies are not followed. What it sends is hostile.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model of an endpoint; ``url`` is what ``/chat/completions`` is appended to."""

    url: str
    model: str
    sha256: str = ""  # nobody can tell what weights answer

    @property
    def name(self) -> str:
        """What names the model in answers."""
        return f"{self.url}#{self.model}"


def find_remote(address: str) -> RemoteModel:
    """Return the model that ``URL#NAME`` names, or for a bare URL the first that the endpoint lists.

    Raises ModelError if the address is not valid or the endpoint lists none.
    """
    import httpx

    url, _, model = address.partition("#")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ModelError(f"{one_line(url)}: not a valid address; write it as http://HOST:PORT/v1") from error
    if not parsed.host or parsed.userinfo or parsed.query:
        raise ModelError(
            f"{one_line(url)}: not the address of an endpoint; write it as http://HOST:PORT/v1, a key in {KEY}"
        )
    url = str(parsed).rstrip("/")
    return RemoteModel(url, model or _first_listed(url))


def _first_listed(url: str) -> str:
    with _request("GET", url, "/models") as response:
        body = b"".join(_limited(response, url))
    try:
        return str(json.loads(body)["data"][0]["id"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{one_line(url)}: /models lists no model; name it behind the address, as in {one_line(url)}#NAME"
        ) from error


class RemoteGenerator:
    """Lets an endpoint continue a prompt; the interface of ``rag.generate.Generator``."""

    def __init__(self, model: RemoteModel, most_tokens: int) -> None:
        self._model = model
        self._most_tokens = most_tokens
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def stream(self, system: str, user: str) -> Iterator[str]:
        """Yield the answer's text piece by piece; raises ModelError if the endpoint does not give one."""
        url = self._model.url
        body = {
            "model": self._model.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "max_tokens": self._most_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self.prompt_tokens = self.completion_tokens = 0
        with _request("POST", url, "/chat/completions", body) as response:
            kind = dict(response.headers).get(b"content-type", b"")
            if not kind.lower().startswith(b"text/event-stream"):
                raise _not_compatible(url)
            for event in _events(_limited(response, url), url):
                try:
                    text = self._text(event)
                except (KeyError, IndexError, TypeError, AttributeError) as error:
                    raise _not_compatible(url) from error
                if text:
                    yield text

    def _text(self, event: dict[str, Any]) -> str:
        """Return an event's text, and count its tokens: as the endpoint says, else one a piece."""
        choices = event["choices"]
        text = choices[0]["delta"].get("content") or "" if choices else ""
        self.completion_tokens += bool(text)
        if usage := event.get("usage"):
            self.prompt_tokens = int(usage["prompt_tokens"])
            self.completion_tokens = int(usage["completion_tokens"])
        if not isinstance(text, str):
            raise TypeError
        return text


@contextlib.contextmanager
def _request(
    method: str, url: str, path: str, body: dict[str, Any] | None = None
) -> Iterator[httpcore.Response]:
    """Open an answer whose status is 200; raises ModelError for all that can go wrong until it is closed."""
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
    if key := os.environ.get(KEY):
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
            yield response
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


def _limited(response: httpcore.Response, url: str) -> Iterator[bytes]:
    """Yield the answer as it comes, at most MOST_BYTES of it."""
    received = 0
    for part in response.iter_stream():
        received += len(part)
        if received > MOST_BYTES:
            raise ModelError(
                f"{one_line(url)}: more than {MOST_BYTES:,} bytes for one answer; use another server"
            )
        yield part


def _events(parts: Iterator[bytes], url: str) -> Iterator[dict[str, Any]]:
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
                raise _not_compatible(url) from error
            yield event
    raise ModelError(f"{one_line(url)}: the answer broke off before its end; look at the server's log")


def _not_compatible(url: str) -> ModelError:
    return ModelError(
        f"{one_line(url)}: the answer is not that of an OpenAI-compatible server; check the address, which often ends in /v1"
    )
