"""The values an answer is made of; see the JSON in the README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Quote:
    """The span ``[start, end)`` of an article's text that backs a sentence."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk, or neighbouring ones, chosen for one question; ``start`` and ``end`` are offsets into the article's text.

    ``score`` in [0, 1] is what ranks it.
    """

    number: int
    article_id: str
    title: str
    source: str
    heading: str
    text: str
    start: int
    end: int
    score: float
    cited: bool = False
    quotes: tuple[Quote, ...] = ()

    @property
    def place(self) -> str:
        """Where the passage stands: the article's title, and the heading where there is one."""
        return " > ".join(part for part in (self.title, self.heading) if part)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer that passed the check: word for word, or in the model's words."""

    text: str
    citations: tuple[int, ...]
    support: Literal["quoted", "supported"]
    confidence: float

    @property
    def with_markers(self) -> str:
        """The text with the [n] markers of its citations behind it."""
        return f"{self.text} {''.join(f'[{number}]' for number in self.citations)}"


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds and tokens that an answer took."""

    retrieve_ms: float = 0.0
    first_sentence_ms: float = 0.0
    total_ms: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that worded an answer."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer, or an abstention with the nearest passages; ``conflict`` if the articles answer differently."""

    question: str
    standalone_question: str
    status: Literal["answered", "abstained"]
    answer: str
    sentences: tuple[Sentence, ...]
    passages: tuple[Passage, ...]
    confidence: float
    model: ModelIdentity
    library_generation: int
    timings: Timings
    conflict: bool = False
