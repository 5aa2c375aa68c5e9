"""Find an article's FAQ among its blocks and set it apart from the body."""

from __future__ import annotations

import re

from corpus.article import Faq
from corpus.blocks import Block

_FAQ_HEADING = re.compile(
    r"^(?:\d+[.)]\s*)?(?:the\s+)?(?:faqs?|frequently asked questions|(?:common\s+)?questions (?:and|&) answers"
    r"|q\s*&\s*a|people also ask)\b[^.?!]{0,40}[:?]?$",
    re.IGNORECASE,
)
_QUESTION_MARK = re.compile(r"^(?:q(?:uestion)?\s*\d*\s*[:.)]|\d{1,2}[.)])\s*", re.IGNORECASE)
_ANSWER_MARK = re.compile(r"^a(?:nswer)?\s*[:.)]\s+", re.IGNORECASE)


def split_faq(blocks: list[Block]) -> tuple[list[Block], list[Faq]]:
    """Return the body's blocks and the FAQ; what follows the FAQ belongs to the body again.

    A heading that no question follows is no FAQ and stays in the body.
    """
    body: list[Block] = []
    faqs: list[Faq] = []
    position = 0
    while position < len(blocks):
        if _opens_faq(blocks, position):
            position, found = _read_faq(blocks, position)
            faqs.extend(found)
        else:
            body.append(blocks[position])
            position += 1
    return body, faqs


def _opens_faq(blocks: list[Block], position: int) -> bool:
    block = blocks[position]
    is_title = block.level > 0 or block.bold
    follows = blocks[position + 1 : position + 3]
    return bool(is_title and _FAQ_HEADING.match(block.text)) and any(map(_is_question, follows))


def _is_question(block: Block) -> bool:
    marked = bool(re.match(r"^q(?:uestion)?\s*\d*\s*[:.)]", block.text, re.IGNORECASE))
    return marked or (block.text.endswith("?") and len(block.text) <= 300)


def _read_faq(blocks: list[Block], start: int) -> tuple[int, list[Faq]]:
    """Read from the FAQ's heading at ``start``; return where the body goes on, and the FAQ."""
    level = blocks[start].level or 6
    faqs: list[Faq] = []
    question, answer = "", list[str]()
    position = start + 1
    while position < len(blocks):
        block = blocks[position]
        if _is_question(block) and (block.level or block.bold or not question or answer):
            _keep(faqs, question, answer)
            question, answer = _QUESTION_MARK.sub("", block.text), []
        elif block.level and (block.level <= level or not question):
            break
        else:
            answer.append(_ANSWER_MARK.sub("", block.text))
        position += 1
    _keep(faqs, question, answer)
    return position, faqs


def _keep(faqs: list[Faq], question: str, answer: list[str]) -> None:
    if question and answer:
        faqs.append(Faq(question, "\n".join(answer)))
