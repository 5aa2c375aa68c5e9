"""A question -> the same question as people type it: keywords, fragments, requests, small talk around it, slips.

The public sets hold whole, well-formed questions alone; a reader that saw nothing else takes a keyword query for
one that is not answered.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from index.words import STOP_WORDS

_OPENINGS = (
    "so", "ok so", "wait,", "hey,", "hi,", "um,", "tell me,", "tell me", "please tell me", "remind me,", "can you tell me",
    "could you explain", "do you know", "does anyone know", "any idea", "i was wondering", "just curious,", "quick question:",
    "i'd like to know", "i need to know", "what i want to know is", "and", "but", "actually,", "let me ask:", "question:",
)  # fmt: skip
_CLOSINGS = (
    "again?", "exactly?", "please", "please?", "any idea?", "thanks", "roughly?", "then?", "in short?", "??", "according to this?",
)  # fmt: skip
_ASKED = {
    "when": ("date", "year", "time", "when"), "who": ("who", "name", "person"), "why": ("reason", "why", "cause"),
    "where": ("location", "place", "where"), "how many": ("number", "count", "how many"), "how much": ("amount", "cost", "how much"),
    "how long": ("duration", "length", "how long"), "how old": ("age",), "how": ("how", "way"), "which": ("", "which"),
    "what": ("", "what"),
}  # fmt: skip
_FRAGMENT = re.compile(
    r"^(?:what|who|which) (?:is|was|are|were|'s) ((?:the|a|an|his|her|its|their) .+)", re.IGNORECASE
)
_SHORTER = (
    ("what is", "what's"), ("who is", "who's"), ("where is", "where's"), ("what are", "what're"), ("how is", "how's"),
    ("why did", "how come"), ("why is", "how come"), ("why was", "how come"), ("do not", "don't"), ("did not", "didn't"),
    ("does not", "doesn't"), ("is not", "isn't"), ("going to", "gonna"), ("approximately", "about"), ("because of", "due to"),
)  # fmt: skip


def restyle(question: str, title: str, chance: random.Random) -> str:
    """Return the question in another style, or as it is two times in five; ``title`` is its article's."""
    if chance.random() < 0.4:
        return question
    ways: list[Callable[[], str]] = [
        lambda: _keywords(question, chance),
        lambda: _keywords(question, chance),
        lambda: _fragment(question),
        lambda: f"{chance.choice(_OPENINGS)} {_lowered(question)}",
        lambda: f"{question.rstrip(' ?.')} {chance.choice(_CLOSINGS)}",
        lambda: _shorter(question),
        lambda: f"{chance.choice(('about', 'I read about', 'on', 're:'))} {title}: {_lowered(question)}",
        lambda: _without_a_word(question, chance),
    ]
    changed = chance.choice(ways)()
    if chance.random() < 0.3:
        changed = changed.lower()
    if chance.random() < 0.3:
        changed = changed.rstrip(" ?.")
    return _slip(changed, chance) if chance.random() < 0.12 else changed


def _lowered(question: str) -> str:
    return question[:1].lower() + question[1:]


def _keywords(question: str, chance: random.Random) -> str:
    """The content words, at times with a word for what is asked, at times in another order."""
    plain = question.rstrip(" ?.")
    asked = next((word for word in _ASKED if re.match(rf"{word}\b", plain, re.IGNORECASE)), "")
    words = [word for word in re.findall(r"[^\s,;()\"]+", plain) if word.lower() not in STOP_WORDS]
    words = [word for word in words if word.lower() not in asked.split()]
    if chance.random() < 0.25:
        chance.shuffle(words)
    wanted = chance.choice(_ASKED[asked]) if asked and chance.random() < 0.7 else ""
    where = len(words) if chance.random() < 0.5 else 0
    words.insert(where, wanted)
    return " ".join(filter(None, words)) or question


def _fragment(question: str) -> str:
    """What stands behind "What is": "The height of the tower?"."""
    found = _FRAGMENT.match(question)
    return found[1][:1].upper() + found[1][1:] if found else _lowered(question.rstrip("?"))


def _shorter(question: str) -> str:
    changed = question
    for long, short in _SHORTER:
        changed = re.sub(rf"\b{long}\b", short, changed, flags=re.IGNORECASE)
    return changed


def _without_a_word(question: str, chance: random.Random) -> str:
    """The question less one of its content words, if it has several: so that none alone decides."""
    words = question.split()
    places = [n for n, word in enumerate(words) if word.lower().strip("?,.") not in STOP_WORDS and n]
    if len(places) < 4:
        return question
    del words[chance.choice(places)]
    return " ".join(words)


def _slip(question: str, chance: random.Random) -> str:
    """A slip of the finger in one longer word: letters turned round, one lost, or one twice."""
    words = question.split(" ")
    places = [n for n, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not places:
        return question
    n = chance.choice(places)
    word, at = words[n], chance.randrange(1, len(words[n]) - 1)
    words[n] = chance.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
        )
    )
    return " ".join(words)
