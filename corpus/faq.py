"""Find an article's FAQ among its blocks and set it apart from the body."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from corpus.article import Faq
from corpus.blocks import Block

_FAQ_HEADING = re.compile(
    r"^\W*(?:(?:\d+|[ivx]+)[.):]\s*)?(?:the\s+|your\s+|some\s+)?(?:faqs?|frequently asked questions"
    r"|(?:common(?:ly asked)?|top|reader|your) questions(?: (?:and|&) answers| answered)?"
    r"|questions (?:and|&) answers|questions answered|q\s*(?:&|and|/)\s*a|people also ask(?:ed)?)\b[^.?!]{0,40}[:?]?\W*$",
    re.IGNORECASE,
)
_NAMED_FAQ = re.compile(r"^[^.?!]{1,60}\b(?:faqs?|frequently asked questions)\W*$", re.IGNORECASE)
_QUESTION_MARK = re.compile(r"^q(?:uestion)?\s*\d*\s*[:.)]\s*", re.IGNORECASE)
_NUMBER = re.compile(r"^\(?\d{1,2}[.)]\s*")
_ANSWER_MARK = re.compile(r"^a(?:nswer)?\s*\d*\s*[:.)]\s+", re.IGNORECASE)
_BOTH_MARKS = re.compile(
    r"^(q(?:uestion)?\s*\d*\s*[:.)]\s.{1,300}?\?)\s+(a(?:nswer)?\s*\d*\s*[:.)]\s.+)$",
    re.IGNORECASE | re.DOTALL,
)
_ASKS = re.compile(
    r"^(?:who|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|will|would|should|has|have|may)\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"^\W*(?:key takeaways?|takeaways|conclusions?|final thoughts|the bottom line|in summary|summary|about the authors?"
    r"|about us|author bio|related (?:articles|posts|reading)|further reading|read more|sources|references|disclaimer)\W*$",
    re.IGNORECASE,
)
_ASKS_AND_TELLS = re.compile(r"^((?:\(?\d{1,2}[.)]\s*)?[^.?!]{4,200}\?)\s+(\S.*)$", re.DOTALL)
_LONGEST_QUESTION = 300
_MOST_OF_TEXT = (
    0.5  # questions and answers marked Q and A, under no heading, are an interview past this share
)


def split_faq(blocks: Iterable[Block], marked: Iterable[Faq] = ()) -> tuple[list[Block], list[Faq]]:
    """Return the body's blocks and the FAQ; what follows the FAQ belongs to the body again.

    ``marked`` are the questions that the source's markup names; where the blocks repeat them, those are
    left out too. A heading that no question follows is no FAQ and stays in the body.
    """
    split = [part for block in blocks for part in _at_marks(block)]
    headed, faqs = _headed(split)
    body, pairs = _marked_pairs(headed)
    if pairs and _length(headed) - _length(body) <= _MOST_OF_TEXT * _length(split):
        faqs += pairs
    else:
        body = headed
    known = list(marked)
    body = _without_empty_headings(_without_restated(body, known))
    return body, _distinct([*known, *faqs])


def _at_marks(block: Block) -> list[Block]:
    """Part a block that holds both "Q: ..." and "A: ..."."""
    if both := _BOTH_MARKS.match(block.text):
        return [Block(both.group(1), bold=True), Block(both.group(2))]
    return [block]


def _headed(blocks: list[Block]) -> tuple[list[Block], list[Faq]]:
    """Set apart what stands under a FAQ's heading."""
    body: list[Block] = []
    faqs: list[Faq] = []
    position = 0
    while position < len(blocks):
        if _opens_faq(blocks, position):
            position, found, opening = _read_faq(blocks, position)
            faqs.extend(found)
            body.extend(opening)
        else:
            body.append(blocks[position])
            position += 1
    return body, faqs


def _opens_faq(blocks: list[Block], position: int) -> bool:
    block = blocks[position]
    if block.item or not _names_faq(block):
        return False
    titled = block.level or block.bold
    following = range(position + 1, min(position + (4 if titled else 2), len(blocks)))
    return any(_is_question(blocks, at, block.level or 6) or _told(blocks[at]) for at in following)


def _names_faq(block: Block) -> bool:
    """Whether a block is a FAQ's title: "FAQ" and its like, or as a heading below the title "... FAQ"."""
    return bool(_FAQ_HEADING.match(block.text) or (block.level > 1 and _NAMED_FAQ.match(block.text)))


def _told(block: Block) -> re.Match[str] | None:
    """Match a block that holds a question and, after it, the answer."""
    return None if block.level or block.bold else _ASKS_AND_TELLS.match(block.text)


def _is_question(blocks: list[Block], position: int, level: int) -> bool:
    """Whether a block under a FAQ's heading of ``level`` asks: by its mark or "?", or as a heading below it."""
    block = blocks[position]
    if _QUESTION_MARK.match(block.text):
        return True
    if len(block.text) > _LONGEST_QUESTION:
        return False
    if block.text.rstrip("*_ ").endswith("?"):
        return True
    answered = position + 1 < len(blocks) and not blocks[position + 1].level
    deeper = block.level > level or (block.bold and level < 6)
    return deeper and answered and bool(_ASKS.match(_NUMBER.sub("", block.text)))


def _read_faq(blocks: list[Block], start: int) -> tuple[int, list[Faq], list[Block]]:
    """Read from the FAQ's heading at ``start``; return where the body goes on, the FAQ, and what opens it."""
    level = blocks[start].level or 6
    faqs: list[Faq] = []
    opening: list[Block] = []
    question, answer = "", list[str]()
    in_one = False
    position = start + 1
    while position < len(blocks):
        block = blocks[position]
        titled = block.level or block.bold or _QUESTION_MARK.match(block.text)
        if _is_question(blocks, position, level) and (titled or not question or answer):
            _keep(faqs, question, answer)
            question, answer = _without_marks(block.text), []
        elif (told := _told(block)) and (in_one or not question):
            _keep(faqs, question, answer)
            question, answer, in_one = _without_marks(told.group(1)), [told.group(2)], True
        elif _ends(block, level, bool(question)):
            break
        elif question:
            answer.append(_ANSWER_MARK.sub("", block.text))
        elif not block.level:
            opening.append(block)
        position += 1
    _keep(faqs, question, answer)
    return position, faqs, opening


def _ends(block: Block, level: int, asked: bool) -> bool:
    if _AFTER.match(block.text):
        return True
    return bool(block.level) and (block.level <= level or not asked)


def _without_marks(text: str) -> str:
    return _NUMBER.sub("", _QUESTION_MARK.sub("", text)).strip("*_ ")


def _keep(faqs: list[Faq], question: str, answer: list[str]) -> None:
    if question and answer:
        faqs.append(Faq(question, "\n".join(answer)))


def _marked_pairs(blocks: list[Block]) -> tuple[list[Block], list[Faq]]:
    """Set apart each block marked Q with the one marked A that follows it."""
    body: list[Block] = []
    faqs: list[Faq] = []
    for block in blocks:
        asked = bool(body) and _QUESTION_MARK.match(body[-1].text) and body[-1].text.endswith("?")
        if asked and _ANSWER_MARK.match(block.text):
            faqs.append(Faq(_without_marks(body.pop().text), _ANSWER_MARK.sub("", block.text)))
        else:
            body.append(block)
    return body, faqs


def _without_restated(blocks: list[Block], faqs: list[Faq]) -> list[Block]:
    """Drop the blocks that show a question which the markup names, and those of its answer after it."""
    answers = {_plain(faq.question): _plain(faq.answer) for faq in faqs}
    kept: list[Block] = []
    answer = ""
    for block in blocks:
        text = _plain(block.text)
        if text in answers:
            answer = answers[text]
        elif not (text and answer and text in answer):
            answer = ""
            kept.append(block)
    return kept


def _without_empty_headings(blocks: list[Block]) -> list[Block]:
    """Drop the FAQ headings under which nothing is left."""
    ends = [*blocks[1:], Block("", 1)]
    return [
        block
        for block, following in zip(blocks, ends, strict=False)
        if not (block.level and 0 < following.level <= block.level and _names_faq(block))
    ]


def _distinct(faqs: list[Faq]) -> list[Faq]:
    first: dict[str, Faq] = {}
    for faq in faqs:
        first.setdefault(_plain(faq.question), replace(faq, question=_without_marks(faq.question)))
    return list(first.values())


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _length(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks)
