"""A question in a conversation -> a question that stands alone, by rule."""

from __future__ import annotations

import re

_LEANS = re.compile(r"\b(?:it|its|he|his|him|she|her|they|their|them|this|these|those)\b", re.IGNORECASE)
_ELLIPTIC = re.compile(
    r"^(?:and|but|what about|how about)\b|^(?:why|when|who|where|how)(?: \w+)?\W*$", re.IGNORECASE
)
_MOST_WORDS = 12


def stand_alone(question: str, previous: str | None) -> str:
    """Return ``question`` itself, or with the previous question before it where it leans on that one."""
    words = question.split()
    short = len(words) <= _MOST_WORDS
    leans = bool(_LEANS.search(question) or _ELLIPTIC.match(question))
    return f"{previous.rstrip()} {question}" if previous and short and leans else question
