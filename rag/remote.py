"""A model behind an OpenAI-compatible endpoint that the user names: the one way in which a question leaves the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from corpus.errors import ModelError, Stopped
from corpus.fetch import one_line
from rag.endpoint import KEY, events, not_compatible, request
from rag.steps import Step, Tell

_LONGEST_NAME = 200
_HOST = re.compile(rb"[a-z0-9._:-]{1,253}")


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
        port = 80 if parsed.port is None else parsed.port
    except (httpx.InvalidURL, ValueError) as error:
        raise _not_an_address(url) from error
    if not _HOST.fullmatch(parsed.raw_host) or not 0 < port < 65536 or parsed.userinfo or parsed.query:
        raise _not_an_address(url)
    url = str(parsed).rstrip("/")
    return RemoteModel(url, model or _first_listed(url))


def _not_an_address(url: str) -> ModelError:
    return ModelError(
        f"{one_line(url)}: not the address of an endpoint; write it as http://HOST:PORT/v1, a key in {KEY}"
    )


def _first_listed(url: str) -> str:
    with request("GET", url, "/models") as parts:
        body = b"".join(parts)
    try:
        name = json.loads(body)["data"][0]["id"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        name = ""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ModelError(
            f"{one_line(url)}: /models lists no model; name it behind the address, as in {one_line(url)}#NAME"
        )
    return name


class RemoteGenerator:
    """Lets an endpoint continue a prompt; the interface of ``rag.generate.Generator``."""

    def __init__(self, model: RemoteModel, most_tokens: int) -> None:
        self._model = model
        self._most_tokens = most_tokens
        self._stopped = False
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0

    def stop(self) -> None:
        """End the stream that is going on, from another thread, at the next piece that comes."""
        self._stopped = True

    def stream(self, system: str, user: str, tell: Tell = lambda step: None) -> Iterator[str]:
        """Yield the answer's text piece by piece; raises ModelError if the endpoint does not give one.

        ``tell`` hears that the prompt is read, but not how far: endpoints do not say.
        """
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
        self._stopped = False
        tell(Step("prefilling"))
        with request("POST", url, "/chat/completions", body) as parts:
            for event in events(parts, url):
                if self._stopped:
                    raise Stopped("the answer was stopped")
                try:
                    text = self._text(event)
                except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                    raise not_compatible(url) from error
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
