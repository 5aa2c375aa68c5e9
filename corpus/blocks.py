"""Headings, paragraphs and list items, each as clean plain text; and how plain text is cut into them.

Knows nothing about FAQs or offsets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from corpus.article import Faq

PLAIN_HEADING_LEVEL = 2
_LONGEST_HEADING = 100
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's default ignorable code points, and the marks of annotations: text can be written in them unseen."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MOJIBAKE = re.compile(
    "[\u00c2\u00c3\u00e2][\u0080-\u00bf\u0152-\u0192\u02c6-\u02dc\u2013-\u20ac\u2122]|\u00ef\u00bb\u00bf"
)
_SPACES = re.compile(r"[^\S\n]+")
_BULLET = re.compile(r"^(?:[-*•‣▪●◦–]|\d{1,2}[.)])\s+")
_CONTENTS = re.compile(r"^\W*(?:(?:table of )?contents|on this page|in this article)\W*$", re.IGNORECASE)
_NETWORK = r"(?:facebook|twitter|x|linkedin|reddit|whatsapp|pinterest|email|e-mail|bluesky|threads|mastodon|telegram)"
_SHARE = r"share(?: (?:this|the))?(?: (?:article|post|story|page))?"
_SHARING = re.compile(
    rf"^\W*(?:{_SHARE}(?: on)?|{_NETWORK}|tweet(?: this)?|copy (?:the )?link)\W*$", re.IGNORECASE
)
_RESIDUE = re.compile(
    rf"^\W*(?:(?:back to |go to )?(?:top|bottom) of (?:the )?page|back to top|skip to (?:main )?content|related articles"
    rf"|{_SHARE}(?: (?:on|via) {_NETWORK})?|tweet(?: this)?"
    r"|copy (?:the )?link|link copied|print(?: this)?(?: page)?|advertisement|sponsored|log in|sign in|sign up|subscribe"
    r"|\d+ min(?:utes?)? read|leave a (?:comment|reply)|no comments(?: yet)?|accept (?:all )?cookies)\W*$",
    re.IGNORECASE,
)
_MARKED_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_BOLD_LINE = re.compile(r"^(?:\*\*|__)([^*_].*?)(?:\*\*|__)$")
_UNDERLINED = re.compile(r"^(\S.{0,99})\n(={3,}|-{3,})[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One heading (``level`` 1-6), or one paragraph, table row or list item (``level`` 0)."""

    text: str
    level: int = 0
    bold: bool = False
    item: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """What every format is read into: blocks in reading order, the FAQ its markup names, and metadata.

    ``date`` is ISO 8601 (a year at least); a field that the source does not give is empty.
    """

    blocks: tuple[Block, ...]
    faqs: tuple[Faq, ...] = ()
    title: str = ""
    author: str = ""
    date: str = ""
    url: str = ""


def normalize(text: str) -> str:
    """Unify line ends and spaces, mend mojibake; drop soft hyphens, direction marks and control characters (NFC)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _MOJIBAKE.search(text):
        from ftfy import fix_encoding

        text = "\n".join(fix_encoding(line) if _MOJIBAKE.search(line) else line for line in text.split("\n"))
    text = unicodedata.normalize("NFC", text)
    return _SPACES.sub(" ", _CONTROL.sub("", _INVISIBLE.sub("", text)))


def clean(text: str) -> str:
    """Put a block's text on one line with single spaces, without invisible characters."""
    return " ".join(normalize(text).split())


def plain_blocks(text: str) -> list[Block]:
    """Cut text as copied from a page: lines that look like headings become headings."""
    lines = [line.strip() for line in _unwrap(_with_marked_headings(text)).split("\n")]
    lines = [line for line in lines if line]
    return [_plain_block(line, is_last=number + 1 == len(lines)) for number, line in enumerate(lines)]


def _plain_block(line: str, *, is_last: bool) -> Block:
    if marked := _MARKED_HEADING.match(line):
        return Block(marked.group(2), len(marked.group(1)))
    if bold := _BOLD_LINE.match(line):
        return Block(bold.group(1), bold=True)
    if _looks_like_heading(line) and not is_last:
        return Block(line, PLAIN_HEADING_LEVEL)
    return Block(_BULLET.sub("", line), item=bool(_BULLET.match(line)))


def _with_marked_headings(text: str) -> str:
    """Turn a line over a row of = or - into a Markdown heading of one line."""
    return _UNDERLINED.sub(
        lambda match: f"{'#' if match.group(2)[0] == '=' else '##'} {match.group(1)}\n", text
    )


def without_residue(blocks: Iterable[Block]) -> list[Block]:
    """Drop what a web page puts around its text: navigation and share prompts."""
    kept: list[Block] = []
    sharing = False
    for block in blocks:
        sharing = bool(_SHARING.match(block.text)) and (sharing or block.text.casefold().startswith("share"))
        if not sharing and not _RESIDUE.match(block.text):
            kept.append(block)
    return kept


def without_contents(blocks: list[Block]) -> list[Block]:
    """Drop a table of contents: its title and the entries that come again below as blocks of their own."""
    start = next((i for i, b in enumerate(blocks) if _CONTENTS.match(b.text) and i < len(blocks) // 2), None)
    if start is None:
        return blocks
    later = {block.text.casefold() for block in blocks[start + 1 :] if not block.item} | {"faq", "faqs"}
    end = start + 1
    while end < len(blocks) and blocks[end].item and blocks[end].text.casefold() in later:
        end += 1
    return blocks[:start] + blocks[end:]


def _unwrap(text: str) -> str:
    """Join the lines of hard-wrapped paragraphs; text with one paragraph a line comes back unchanged."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 4 or max(map(len, lines)) > 120 or median(map(len, lines)) < 50:
        return text
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(re.sub(r"\n(?!\s*(?:[-*•]|\d{1,2}[.)])\s)", " ", part) for part in paragraphs)


def _looks_like_heading(line: str) -> bool:
    if len(line) > _LONGEST_HEADING or (_BULLET.match(line) and not re.match(r"^\d{1,2}[.)]\s+[A-Z]", line)):
        return False
    if line[0] in "\"'“‘" or not (line[0].isupper() or line[0].isdigit()):
        return False
    return line[-1] not in ".,;:!…\"”'" and len(line.split()) <= 16
