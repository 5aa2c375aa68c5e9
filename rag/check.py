"""Whether a quote supports a sentence, decided by rule before the sentence is shown.

Numbers with their scale, names, negation and the direction of comparisons must agree, and the sentence's words
must stand in the quote in much the same order. Meant to be strict: a sentence that fails is replaced by its quote.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

from index.words import STOP_WORDS

_LEAST_SHARE = 0.9
_NEAR = 3  # neighbouring words of a sentence stand at most this far apart in its quote
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[$€£]|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|%")
_MARKER = re.compile(r"\s*\[(\d+(?:\s*,\s*\d+)*)\]")
_SCALES = {"bn": "billion", "b": "billion", "mn": "million", "m": "million", "k": "thousand", "percent": "%"}
_NEGATIONS = frozenset("no not never none nor neither without cannot nobody nothing hardly".split())
_OPPOSITES = [
    frozenset(pair.split())
    for pair in (
        "more less", "more fewer", "higher lower", "above below", "ahead behind", "before after", "rise fall",
        "rose fell", "increase decrease", "up down", "open closed", "first last", "best worst", "larger smaller",
        "win lose", "accept reject", "gain loss", "over under", "faster slower", "better worse",
    )
]  # fmt: skip
_KEPT = frozenset("more less fewer above below ahead behind before after up down over under".split())


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return the Snowball stem of a lower-case word, without a possessive mark."""
    return str(_stemmer().stemWord(re.sub(r"['’]s?$", "", word)))


def numbers_in(text: str) -> list[str]:
    """Return the numbers of a text in order, as written, without signs and units."""
    return _NUMBER.findall(text)


def split_markers(sentence: str) -> tuple[str, tuple[int, ...]]:
    """Return a sentence without its [n] markers, and the numbers they name in order."""
    numbers = [int(number) for match in _MARKER.findall(sentence) for number in match.split(",")]
    return " ".join(_MARKER.sub("", sentence).split()), tuple(dict.fromkeys(numbers))


def supports(quote: str, sentence: str, context: str = "") -> bool:
    """Return whether ``quote`` supports ``sentence``; ``context`` (title, heading) may supply names."""
    said, given = _tokens(sentence), _tokens(quote)
    if not said or not _numbers(said) <= _numbers(given):
        return False
    if _negations(sentence) != _negations(quote) and _negations(sentence) + _negations(quote) > 0:
        return False
    stems = [stem(token) for token in given]
    names = _names(sentence)
    if not set(names) <= {*stems, *(stem(token) for token in _tokens(context))}:
        return False
    named_here = [name for name in names if name in stems]
    if common_in_order(named_here, stems) < len(named_here):  # who did what to whom
        return False
    said_set, given_set = set(said), set(given)
    for pair in _OPPOSITES:
        if (pair & said_set) and (pair & given_set) and pair & said_set != pair & given_set:
            return False
    wanted, found = _content(said), _content(given)
    in_order = common_in_order(wanted, found) >= _LEAST_SHARE * len(wanted)
    return bool(wanted) and in_order and _near_pairs(wanted, found) >= _LEAST_SHARE * (len(wanted) - 1)


def _tokens(text: str) -> list[str]:
    tokens = [token.lower().replace("’", "'") for token in _TOKEN.findall(text)]
    previous = ["", *tokens]
    return [
        _SCALES.get(t, t) if before[:1].isdigit() else t for before, t in zip(previous, tokens, strict=False)
    ]


def _numbers(tokens: list[str]) -> set[tuple[str, str]]:
    """Every number with the scale or sign behind it, so that 14.3 million is not 14.3 billion."""
    pairs = zip(tokens, [*tokens[1:], ""], strict=True)
    scales = {"billion", "million", "thousand", "trillion", "%"}
    return {(t.replace(",", ""), after if after in scales else "") for t, after in pairs if t[0].isdigit()}


def _negations(text: str) -> int:
    words = re.findall(r"[\w'’]+", text.lower())
    return sum(word in _NEGATIONS or word.replace("’", "'").endswith("n't") for word in words)


def _names(sentence: str) -> list[str]:
    """The stems of the capitalized words, in order; the first word counts unless it is a stop word."""
    words = re.findall(r"[^\W_][\w’'.-]*", sentence)
    names = [
        word for n, word in enumerate(words) if word[0].isupper() and (n or word.lower() not in STOP_WORDS)
    ]
    tokens = (token for name in names for token in _tokens(name))
    return [stem(token) for token in tokens if token not in STOP_WORDS and not token[0].isdigit()]


def _content(tokens: list[str]) -> list[str]:
    return [stem(t) for t in tokens if t not in STOP_WORDS or t in _KEPT]


def _near_pairs(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Count the neighbouring pairs that are also near in ``found``: two facts of one quote cannot be fused."""
    near = {(a, b) for n, a in enumerate(found) for b in found[n + 1 : n + 1 + _NEAR]}
    return sum(pair in near for pair in itertools.pairwise(wanted))


def common_in_order(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(found) + 1)
    for word in wanted:
        previous = row
        row = [0]
        for n, other in enumerate(found):
            row.append(previous[n] + 1 if word == other else max(previous[n + 1], row[n]))
    return row[-1]
