"""Groups -> samples: which chunks a question is trained on this time, and what is gold in them."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from rag.reader import Encoded, encode_pair
from rag.training.groups import Group, Shown
from rag.training.restyle import restyle
from rag.training.sets import WRITTEN_POOL

_WHOLE_SENTENCES = 160  # characters from which a gold span is a passage rather than an answer
_HARD = 0.7  # how often a negative is one of the four found first
_TURNED = 0.15  # how often a question is turned into one that the chunk does not answer
_MOST_GOLD = 3  # gold chunks shown of a question that needs them all


@dataclass(frozen=True, slots=True)
class Sample:
    """A group as it is trained on: the encoded pairs, and for each which sentences and tokens are gold."""

    pairs: list[Encoded]
    gold_chunks: list[bool]
    gold_sentences: list[list[bool]]
    gold_tokens: list[list[tuple[int, int]]]
    has_span: bool
    has_sentence: bool
    each_gold: bool
    """Whether all gold places are needed; else they are one answer, marked wherever it stands."""


def sample_of(group: Group, shown: int, chance: random.Random, unanswered: float) -> Sample | None:
    """Choose a group's chunks anew: gold ones, hard negatives, and by the chance ``unanswered`` none that answers.

    None for a near miss that is not shown this time, or a question without chunks.
    """
    gold = [chunk for chunk in group.chunks if chunk.gold]
    answers = {chunk.text[start:end].lower() for chunk in gold for start, end in chunk.gold}
    others = [
        chunk
        for chunk in group.chunks
        if not chunk.gold and not any(len(a) > 2 and a in chunk.text.lower() for a in answers)
    ]
    question, dice, written = group.question, chance.random(), group.pool == WRITTEN_POOL
    near = [chunk for chunk in others if chunk.place < 0 or chunk.same_article]
    if not gold and dice >= unanswered:
        return None
    if gold and dice < unanswered:
        chosen = []
    elif gold and dice < unanswered + _TURNED and (turned := turn(question, group, chance)):
        question, chosen = turned, [replace(chance.choice(gold), gold=[])]
    elif gold:
        chosen = chance.sample(gold, min(len(gold), _MOST_GOLD if written else 1))
    else:
        chosen = near[-1:] if chance.random() < _HARD else []  # the paragraph of a near miss
    pool = [chunk for chunk in others if chunk not in chosen]
    while pool and len(chosen) < shown:
        best = pool[:4] if chance.random() < _HARD else pool
        chosen.append(pool.pop(pool.index(chance.choice(best))))
    if not chosen:
        return None
    title = next((c.prefix.split(". ")[0] for c in group.chunks if c.same_article), "")
    if not written:  # those were written in several styles
        question = restyle(question, title, chance)
    pairs = [encode_pair(question, chunk.prefix, chunk.text, _spans(chunk)) for chunk in chosen]
    golds = [[any(s < b and a < e for a, b in chunk.gold) for s, e in chunk.sentences] for chunk in chosen]
    spans = [
        [place for a, b in chunk.gold if (place := pair.tokens_of(a, b)) is not None]
        for chunk, pair in zip(chosen, pairs, strict=True)
    ]
    lengths = [b - a for chunk in chosen for a, b in chunk.gold]
    return Sample(
        pairs,
        [bool(chunk.gold) for chunk in chosen],
        golds,
        spans,
        has_span=group.pool != "SelQA" and max(lengths, default=0) < _WHOLE_SENTENCES,
        has_sentence=group.pool != "MedQuAD",
        each_gold=written,
    )


def _spans(chunk: Shown) -> list[tuple[int, int]]:
    return [(start, end) for start, end in chunk.sentences]


_OPPOSITES = {
    a: b
    for pair in (
        "first last", "most least", "largest smallest", "highest lowest", "before after", "increase decrease", "more less",
        "increased decreased", "oldest newest", "best worst", "longest shortest", "begin end", "north south", "east west",
        "winter summer", "won lost", "win lose", "above below", "start finish", "began ended", "male female", "men women",
        "early late", "positive negative", "maximum minimum", "inside outside", "strong weak", "opened closed",
    )
    for a, b in (pair.split(), pair.split()[::-1])
}  # fmt: skip
_NAME = re.compile(r"(?<=[a-z,'] )[A-Z][a-zA-Z-]+(?: [A-Z][a-zA-Z-]+)*")


def turn(question: str, group: Group, chance: random.Random) -> str | None:
    """Return a like question that its gold chunk does not answer, or None: another number, name or direction.

    The kinds that people chose most for SQuAD 2.0 (Rajpurkar et al., ACL 2018, table 1).
    """
    ways = []
    for match in re.finditer(r"\d+", question):
        number = int(match.group()) if len(match.group()) < 9 else 0
        other = number + chance.choice((-13, -7, -3, -2, -1, 1, 2, 3, 5, 8, 12))
        ways.append(question[: match.start()] + str(abs(other)) + question[match.end() :])
    gold = " ".join(chunk.text for chunk in group.chunks if chunk.gold)
    names = [
        name
        for chunk in group.chunks
        if not chunk.gold
        for name in _NAME.findall(chunk.text)
        if name not in gold
    ]
    for match in _NAME.finditer(question):
        if names and match.group() in gold:
            ways.append(question[: match.start()] + chance.choice(names) + question[match.end() :])
    words = question.split(" ")
    for n, word in enumerate(words):
        if word.lower() in _OPPOSITES:
            ways.append(" ".join([*words[:n], _OPPOSITES[word.lower()], *words[n + 1 :]]))
    return chance.choice(ways) if ways else None
