"""A question in a conversation -> a question that stands alone, by rule.

A pronoun is replaced by what the question before was about, and a fragment ("And in 2025?") takes the place of its
like in that question. A question that stands alone is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from index.sentences import split_sentences
from index.words import STOP_WORDS

_REMEMBERED = 3  # questions back to which a pronoun may point
_PERSONAL = r"(?:he|she|him|his|her|hers|they|them|their|theirs|it|its)"
_PRONOUN = re.compile(rf"\b{_PERSONAL}\b", re.IGNORECASE)
_IDLE_IT = re.compile(
    r"\b(?:is|was|does|did|would|will|has|how) it (?:true|possible|likely|safe|legal|important|take|mean|feel|been|that)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:this|these|those)\b|\bthat(?=\W*$)|\b(?:of|on|in|for|by|to|at|from|with|about|after|before|against|is|was|does|did) that\b"
    r"|\bthat (?:one|time|day|year)\b|\bthe (?:one|ones|other|others|former|latter)\b|\b(?:else|besides that)\b",
    re.IGNORECASE,
)
_FRAGMENT = re.compile(
    r"^(?:(?:so|and|or|but|then|ok|okay),? )*(?:and|or|what about|how about|but)\b,? *(.*)$", re.IGNORECASE
)
_BARE = re.compile(r"^(?:why|when|who|where|how|how so|why not|since when|how come)\W*$", re.IGNORECASE)
_QUESTION_WORD = re.compile(
    r"^(?:(?:in|on|at|for|to|by|from|since|of|with) )?(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did"
    r"|has|have|had|can|could|will|would|should)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"[A-Z0-9][\w.&+-]*(?:['’]s(?= [A-Z]))?(?: (?:(?:of|the|and|de|van|von|for) (?=[A-Z]))?[A-Z0-9][\w.&+-]*(?:['’]s(?= [A-Z]))?)*"
)
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_COMMANDS = frozenset("compare describe explain give list name show summarize tell".split())
_ABOUT = re.compile(
    r"(?:^(?:what|who) (?:is|are|was|were)|^what causes|^(?:tell|teach) me (?:more )?about|\b(?:of|about|in|for|with)) (?:(?:the|a|an|some) )?"
    r"((?:(?!(?:of|about|in|for|with)\b)[\w'-]+ ?){1,3})\W*$",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:in|on|at|for|to|by|from|with|of|since|under|as)\b", re.IGNORECASE)


def stand_alone(question: str, previous: Sequence[str]) -> str:
    """Return ``question`` itself, or made to stand alone with ``previous``, the stand-alone questions before it in order."""
    if not previous:
        return question
    last, recent = previous[-1], previous[: -_REMEMBERED - 1 : -1]
    fragment = _FRAGMENT.match(question)
    if fragment and not _QUESTION_WORD.match(fragment.group(1)):
        return _in_place(fragment.group(1), last) or _both(last, question)
    if (pronoun := _leaning_pronoun(question)) is not None:
        about = next((before for before in recent if names_in(before) or topic_of(before)), last)
        topic = topic_of(about)
        return _replaced(question, pronoun, topic) if topic else _both(about, question)
    if _BARE.match(question) or (_POINTS.search(question) and not names_in(question)):
        return _both(last, question)
    return question


def names_in(text: str) -> list[str]:
    """Return the names of a text as written, in order: runs of capitalized words and numbers that begin with a letter."""
    names = []
    for match in _NAME.finditer(text):
        name = match.group()
        while (first := name.split(" ", 1))[0].lower() in STOP_WORDS | _COMMANDS:
            name = first[1] if len(first) > 1 else ""
        if name and name[0].isupper():
            names.append(name.rstrip(","))
    return names


def topic_of(question: str) -> str | None:
    """Return what a question is about: its one name, or in one without names its last phrase; None if unsure."""
    names = set(names_in(question))
    if len(names) == 1:
        return names.pop()
    asked = None if names else _ABOUT.search(question)
    return asked.group(1).strip() if asked and asked.group(1).split()[0].lower() not in STOP_WORDS else None


def _both(previous: str, question: str) -> str:
    """The question behind the one before it, of which the first sentence is what the conversation turns on."""
    first = split_sentences(previous)[0]
    return f"{previous[first.start : first.end]} {question}"


def _leaning_pronoun(question: str) -> re.Match[str] | None:
    """The first pronoun, unless a name before it is what it stands for, or it stands for nothing."""
    found = _PRONOUN.search(_IDLE_IT.sub(lambda match: "_" * len(match.group()), question))
    return found if found and not names_in(question[: found.start()]) else None


def _replaced(question: str, pronoun: re.Match[str], topic: str) -> str:
    word, after = pronoun.group().lower(), question[pronoun.end() :]
    owned = word in {"his", "its", "their"} or (word == "her" and re.match(r" \w", after) is not None)
    return question[: pronoun.start()] + topic + ("'s" if owned and not topic.endswith("'s") else "") + after


def _in_place(fragment: str, previous: str) -> str | None:
    """The previous question with the fragment in the place of its like: a year for a year, a name for a name."""
    bare = _LEADING.sub("", fragment).strip(" ?.!")
    if _YEAR.fullmatch(bare) and len(years := _YEAR.findall(previous)) == 1:
        return previous.replace(years[0], bare)
    leading = _LEADING.match(fragment)
    names = [
        name for name in names_in(previous) if not leading or f" {leading.group().lower()} {name}" in previous
    ]
    if not names or not names_in(bare) or len(bare.split()) > 5:
        return None
    old = names[-1]
    bare = re.sub(r"['’]s$", "", bare) if f"{old}'s" in previous or f"{old}’s" in previous else bare
    return bare.join(previous.rsplit(old, 1))
