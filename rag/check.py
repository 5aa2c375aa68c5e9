"""Whether a quote supports a sentence, decided by rule before the sentence is shown.

The sentence's words must stand in the quote in much the same order and near each other; numbers with their units, names,
negation, qualification ("may", "plans", "said") and the direction of comparisons must agree with the clauses that they
stand in. Meant to be strict: a sentence that fails is replaced by its quote.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

from index.words import STOP_WORDS, terms_of

_LEAST_SHARE = 0.9
_NEAR = 3  # neighbouring words of a sentence stand at most this far apart in its quote
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[$€£]|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|%|[,;:()–—.!?]")
_ASIDE = re.compile(r"(?:,[^,;:.!?]*|\s\([^()]*\)|\s[–—][^–—.!?]*[–—])(?=,|[\s.])")
_MARKER = re.compile(r"\s*\[(\d+(?:\s*,\s*\d+)*)\]")
_LIKE_MARKER = re.compile(r"[\[［【〔](\s*\d[\d\s,;–-]*)[\]］】〕]")
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
_QUALIFIERS = frozenset(
    "may might could would should can if unless until almost nearly about plan intend hope expect aim want consider seek try"
    " propose promise threaten say claim allege likely probably possibly perhaps"
    " rumor believe think fail refuse deny decline lack unable cease avoid prevent reject forbid ban pretend doubt stop".split()
)
"""Stems whose loss changes what a clause says: what is hoped, said, denied or refused did not happen yet, or at all."""
_ADVERBS = frozenset("reportedly allegedly supposedly apparently far".split())
_BASES = {"said": "say", "thought": "think", "sought": "seek", "forbade": "forbid", "forbidden": "forbid"}
_STOPS = frozenset(",;:()–—.!?")
_RELATIVE = frozenset("which who whose whom where".split())
_CONDITIONS = frozenset({"if", "unless"})
_ROLES = frozenset("for against by from to with".split())
_KEPT = frozenset("more less fewer above below ahead behind before after up down over under".split())


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return the Snowball stem of a lower-case word, without a possessive mark."""
    return str(_stemmer().stemWord(re.sub(r"['’]s?$", "", word)))


def stems_of(text: str) -> set[str]:
    """Return the stems of a text's terms, as the full-text search takes them."""
    return {stem(term) for term in terms_of(text)}


def numbers_in(text: str) -> list[str]:
    """Return the numbers of a text in order, as written, without signs and units."""
    return _NUMBER.findall(text)


def amounts_in(text: str) -> set[tuple[str, str]]:
    """Return the numbers of a text, each with the scale or sign behind it: ("14.3", "billion")."""
    return _numbers(_tokens(text))


def unmarked(text: str) -> str:
    """Return an article's words with what looks like a citation of ours in round brackets: [1] becomes (1)."""
    return _LIKE_MARKER.sub(r"(\1)", text)


def split_markers(sentence: str) -> tuple[str, tuple[int, ...]]:
    """Return a sentence without its [n] markers, and the numbers they name in order."""
    numbers = [int(number) for match in _MARKER.findall(sentence) for number in match.split(",")]
    return " ".join(_MARKER.sub("", sentence).split()), tuple(dict.fromkeys(numbers))


@functools.cache
def _qualifier_stems() -> frozenset[str]:
    return frozenset(map(stem, _QUALIFIERS))


def supports(quote: str, sentence: str, context: str = "") -> bool:
    """Return whether ``quote`` supports ``sentence``; ``context`` (title, heading) may supply names.

    What stands between commas, dashes or brackets in the quote may be left out of the sentence.
    """
    if sentence == quote and sentence.strip():
        return True
    without_asides = (quote[: match.start()] + quote[match.end() :] for match in _ASIDE.finditer(quote))
    return _supports(quote, sentence, context) or any(
        _supports(shorter, sentence, context) for shorter in without_asides
    )


def _supports(quote: str, sentence: str, context: str) -> bool:
    said, given = _tokens(sentence), _tokens(quote)
    words = [token for token in said if token not in _STOPS]
    if not words or not _numbers(words) <= _numbers([token for token in given if token not in _STOPS]):
        return False
    if not _names_agree(sentence, given, context):
        return False
    wanted = _content(words)
    places = [(n, stem(token)) for n, token in enumerate(given) if _is_content(token)]
    chain = _aligned(wanted, [word for _, word in places])
    if not wanted or len(chain) < _LEAST_SHARE * len(wanted):
        return False
    if _breaks(chain, [word for _, word in places]) > (1 - _LEAST_SHARE) * (len(wanted) - 1):
        return False
    return _clauses_agree(words, given, places[chain[0]][0], places[chain[-1]][0])


def _names_agree(sentence: str, given: Sequence[str], context: str) -> bool:
    """Whether the sentence's names are the quote's or its place's, in the quote's order: who did what to whom."""
    stems = [stem(token) for token in given]
    names = _names(sentence)
    if not set(names) <= {*stems, *(stem(token) for token in _tokens(context))}:
        return False
    named_here = [name for name in names if name in stems]
    return common_in_order(named_here, stems) == len(named_here)


def _clauses_agree(words: Sequence[str], given: Sequence[str], first: int, last: int) -> bool:
    """Whether negation, qualification, opposites and roles agree with the clauses from ``first`` to ``last``."""
    start = max((n + 1 for n in range(first) if given[n] in _STOPS), default=0)
    end = min((n for n in range(last + 1, len(given)) if given[n] in _STOPS), default=len(given))
    clause, said = given[start:end], set(words)
    if clause[0] in _RELATIVE and any(token in _STOPS for token in given[first:last]):
        return False  # it begins within an aside and goes on after it
    if _negations(words) != _negations(clause):
        return False
    said_stems = {stem(word) for word in words}
    qualified = _qualifiers(clause) | (_CONDITIONS & set(given))
    if not qualified <= said_stems | said:
        return False
    if any(pair & said and pair & said != pair & set(clause) for pair in _OPPOSITES if pair & set(clause)):
        return False
    return _ROLES & said <= set(given)


def _qualifiers(clause: Sequence[str]) -> set[str]:
    return {
        stem(word)
        for word in clause
        if word in _ADVERBS or stem(_BASES.get(word, word)) in _qualifier_stems()
    }


def _tokens(text: str) -> list[str]:
    tokens = [token.lower().replace("’", "'") for token in _TOKEN.findall(text)]
    tokens = [token.replace(",", "") if token[0].isdigit() else token for token in tokens]
    previous = ["", *tokens]
    return [
        _SCALES.get(t, t) if before[:1].isdigit() else t for before, t in zip(previous, tokens, strict=False)
    ]


def _numbers(tokens: list[str]) -> set[tuple[str, str]]:
    """Every number with the scale or sign behind it, so that 14.3 million is not 14.3 billion."""
    pairs = itertools.pairwise([*tokens, ""])
    scales = {"billion", "million", "thousand", "trillion", "%"}
    return {(t.replace(",", ""), after if after in scales else "") for t, after in pairs if t[0].isdigit()}


def _negations(words: Sequence[str]) -> int:
    return sum(word in _NEGATIONS or word.endswith("n't") for word in words)


def _names(sentence: str) -> list[str]:
    """The stems of the capitalized words, in order; the first word counts unless it is a stop word."""
    words = re.findall(r"[^\W_][\w’'.-]*", sentence)
    names = [
        word for n, word in enumerate(words) if word[0].isupper() and (n or word.lower() not in STOP_WORDS)
    ]
    tokens = (token for name in names for token in _tokens(name))
    return [stem(token) for token in tokens if token not in STOP_WORDS and not token[0].isdigit()]


def _is_content(token: str) -> bool:
    return token not in _STOPS and (token not in STOP_WORDS or token in _KEPT)


def _content(tokens: Sequence[str]) -> list[str]:
    return [stem(t) for t in tokens if _is_content(t)]


def _aligned(wanted: Sequence[str], found: Sequence[str]) -> list[int]:
    """Return the places in ``found`` of the longest run of ``wanted`` words in order, with as few breaks as may be."""
    best: dict[int, tuple[float, list[int]]] = {}
    for word in wanted:
        ending = {}
        for n, other in enumerate(found):
            if other == word:
                before = [
                    (value - (0.5 if _breaks([chain[-1], n], found) else 0.0), chain)
                    for m, (value, chain) in best.items()
                    if m < n
                ]
                value, chain = max(before, key=lambda one: one[0], default=(0.0, []))
                ending[n] = (value + 1, [*chain, n])
        for n, one in ending.items():
            if n not in best or one[0] > best[n][0]:
                best[n] = one
    return max(best.values(), key=lambda one: one[0])[1] if best else []


def _breaks(chain: Sequence[int], found: Sequence[str]) -> int:
    """Count the places where neighbours stand too far apart, or a number takes the place of another: two facts fused."""
    return sum(
        b - a > _NEAR or (found[b][0].isdigit() and any(w[0].isdigit() for w in found[a + 1 : b]))
        for a, b in itertools.pairwise(chain)
    )


def common_in_order(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(found) + 1)
    for word in wanted:
        previous = row
        row = [0]
        for n, other in enumerate(found):
            row.append(previous[n] + 1 if word == other else max(previous[n + 1], row[n]))
    return row[-1]
