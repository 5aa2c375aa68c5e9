"""A question with what came of it, as the browser keeps it. What the browser gives back is not trusted."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from rag.answer import Answer, ModelIdentity, Passage, Quote, Sentence, Timings
from rag.assistant import MOST_QUESTION_CHARACTERS

MOST_EXCHANGES = 200
NEAREST = 3
_MOST_TEXT = 20_000
_MOST_PARTS = 50
_KEY = re.compile(r"[A-Za-z0-9-]{1,40}")


class Refused(ValueError):
    """A value from the browser that is not what the page writes."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer; without one, what was ``said`` until it was stopped, or the ``error``.

    ``key`` names it in the page.
    """

    key: str
    question: str
    answer: Answer | None = None
    said: tuple[str, ...] = ()
    error: str = ""


def as_value(exchange: Exchange) -> dict[str, Any]:
    """Return an exchange as JSON has it, without the passages that it does not show."""
    answer = exchange.answer
    return {
        "key": exchange.key,
        "question": exchange.question,
        "answer": asdict(replace(answer, passages=shown_passages(answer))) if answer else None,
        "said": list(exchange.said),
        "error": exchange.error,
    }


def shown_passages(answer: Answer) -> tuple[Passage, ...]:
    """Return an answer's cited passages; an abstention's nearest."""
    return tuple(p for p in answer.passages if p.cited) or answer.passages[:NEAREST]


def exchanges_of(value: object) -> list[Exchange]:
    """Read a conversation that the browser kept; exchanges that are not whole are left out."""
    exchanges = []
    for one in value[-MOST_EXCHANGES:] if isinstance(value, list) else []:
        try:
            exchanges.append(exchange_of(one))
        except Refused:
            continue
    return exchanges


def exchange_of(value: object) -> Exchange:
    """Read one exchange; raises Refused if anything about it is not as ``as_value`` makes it."""
    fields = _fields(value)
    answer = fields.get("answer")
    return Exchange(
        key_of(fields.get("key")),
        text_of(fields.get("question"), MOST_QUESTION_CHARACTERS),
        None if answer is None else _answer(answer),
        tuple(text_of(said) for said in list_of(fields.get("said"))),
        text_of(fields.get("error")),
    )


def key_of(value: object) -> str:
    """Read the name of an exchange, which goes into ids."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise Refused("not a key")
    return value


def text_of(value: object, most: int = _MOST_TEXT) -> str:
    """Read a text of at most ``most`` characters; lone surrogates, which cannot be written out, are replaced."""
    if not isinstance(value, str) or len(value) > most:
        raise Refused("not a text")
    return value.encode("utf-8", "replace").decode()


def list_of(value: object, most: int = _MOST_PARTS) -> list[Any]:
    """Read a list of at most ``most`` parts."""
    if not isinstance(value, list) or len(value) > most:
        raise Refused("not a list")
    return value


def offset_of(value: object) -> int:
    """Read an offset into an article."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise Refused("not an offset")
    return value


def _fields(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused("not an object")
    return value


def _share(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused("not a share")
    return float(value)


def _answer(value: object) -> Answer:
    fields = _fields(value)
    status: Literal["answered", "abstained"] = (
        "answered" if fields.get("status") == "answered" else "abstained"
    )
    return Answer(
        question=text_of(fields.get("question")),
        standalone_question=text_of(fields.get("standalone_question")),
        status=status,
        answer=text_of(fields.get("answer")),
        sentences=tuple(_sentence(one) for one in list_of(fields.get("sentences"))),
        passages=tuple(_passage(one) for one in list_of(fields.get("passages"))),
        confidence=_share(fields.get("confidence")),
        model=ModelIdentity(text_of(_fields(fields.get("model")).get("name")), ""),
        library_generation=0,
        timings=Timings(),
        conflict=fields.get("conflict") is True,
    )


def _sentence(value: object) -> Sentence:
    fields = _fields(value)
    support: Literal["quoted", "supported"] = "quoted" if fields.get("support") == "quoted" else "supported"
    numbers = tuple(offset_of(number) for number in list_of(fields.get("citations")))
    return Sentence(text_of(fields.get("text")), numbers, support, _share(fields.get("confidence")))


def _passage(value: object) -> Passage:
    fields = _fields(value)
    return Passage(
        number=offset_of(fields.get("number")),
        article_id=text_of(fields.get("article_id"), 300),
        title=text_of(fields.get("title")),
        source=text_of(fields.get("source")),
        heading=text_of(fields.get("heading")),
        text=text_of(fields.get("text")),
        start=offset_of(fields.get("start")),
        end=offset_of(fields.get("end")),
        score=0.0,
        cited=fields.get("cited") is True,
        quotes=tuple(_quote(one) for one in list_of(fields.get("quotes"))),
    )


def _quote(value: object) -> Quote:
    fields = _fields(value)
    return Quote(offset_of(fields.get("start")), offset_of(fields.get("end")), text_of(fields.get("text")))
