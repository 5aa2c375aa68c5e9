"""Text -> blocks: headings, paragraphs and list items, each as clean plain text.

Knows Markdown and plain text as copied from a web page; knows nothing about FAQs or offsets.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from statistics import median

PLAIN_HEADING_LEVEL = 2
_LONGEST_HEADING = 100
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SPACES = re.compile(r"[^\S\n]+")
_BULLET = re.compile(r"^(?:[-*•‣▪●◦–]|\d{1,2}[.)])\s+")
_RESIDUE = {"top of page", "bottom of page", "skip to content", "skip to main content", "related articles"}
_CONTENTS = re.compile(r"^\W*(?:table of )?contents\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One heading (``level`` 1-6), or one paragraph or list item (``level`` 0)."""

    text: str
    level: int = 0
    bold: bool = False


def normalize(text: str) -> str:
    """Unify line ends and spaces; drop soft hyphens, direction marks and control characters (NFC)."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _SPACES.sub(" ", _CONTROL.sub("", _INVISIBLE.sub("", text)))


def markdown_blocks(text: str) -> list[Block]:
    """Parse CommonMark with tables; inline marks, link targets, images and raw HTML tags are left out."""
    from markdown_it import MarkdownIt

    blocks: list[Block] = []
    level, in_row = 0, False
    row: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "tr_open":
            row, in_row = [], True
        elif token.type == "tr_close":
            blocks.append(Block(" | ".join(row)))
            in_row = False
        elif token.type in ("fence", "code_block"):
            blocks.extend(Block(_clean(line)) for line in token.content.splitlines())
        elif token.type == "inline":
            children = token.children or []
            plain = "".join(_inline_text(child.type, child.content) for child in children)
            if in_row:
                row.append(_clean(plain))
                continue
            texts = [child for child in children if child.type not in ("text", "softbreak") or child.content]
            bold = bool(texts) and texts[0].type == "strong_open" and texts[-1].type == "strong_close"
            blocks.extend(Block(_clean(line), level, bold) for line in plain.split("\n"))
    return [block for block in blocks if block.text]


def _inline_text(kind: str, content: str) -> str:
    if kind in ("text", "code_inline"):
        return content
    return {"softbreak": " ", "hardbreak": "\n"}.get(kind, "")


def _clean(line: str) -> str:
    return " ".join(line.split())


def plain_blocks(text: str) -> list[Block]:
    """Split text as copied from a page: navigation residue goes, heading-like lines become headings."""
    lines = [line.strip() for line in _unwrap(text).split("\n")]
    lines = [line for line in lines if line and line.lower() not in _RESIDUE]
    lines = _without_contents(lines)
    blocks = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        is_heading = _looks_like_heading(line) and bool(following)
        item = _BULLET.sub("", line)
        blocks.append(Block(line if is_heading else item, PLAIN_HEADING_LEVEL if is_heading else 0))
    return blocks


def _unwrap(text: str) -> str:
    """Join the lines of hard-wrapped paragraphs; text with one paragraph a line comes back unchanged."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 4 or max(map(len, lines)) > 120 or median(map(len, lines)) < 50:
        return text
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(re.sub(r"\n(?!\s*(?:[-*•]|\d{1,2}[.)])\s)", " ", part) for part in paragraphs)


def _without_contents(lines: list[str]) -> list[str]:
    """Drop a table of contents: its title and the entries that come again below as lines of their own."""
    start = next((i for i, line in enumerate(lines) if _CONTENTS.match(line) and i < len(lines) // 2), None)
    if start is None:
        return lines
    later = {line.casefold() for line in lines[start + 1 :] if not _BULLET.match(line)}
    later |= {"faq"}
    end = start + 1
    while end < len(lines) and (entry := _BULLET.match(lines[end])):
        if lines[end][entry.end() :].casefold() not in later:
            break
        end += 1
    return lines[:start] + lines[end:]


def _looks_like_heading(line: str) -> bool:
    if len(line) > _LONGEST_HEADING or (_BULLET.match(line) and not re.match(r"^\d{1,2}[.)]\s+[A-Z]", line)):
        return False
    if line[0] in "\"'“‘" or not (line[0].isupper() or line[0].isdigit()):
        return False
    return line[-1] not in ".,;:!…\"”'" and len(line.split()) <= 16
