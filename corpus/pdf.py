"""A PDF -> blocks: characters become lines by where they stand, and lines become paragraphs.

Knows positions and type sizes, in points with y upwards; knows nothing about FAQs or Markdown.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from statistics import median

from corpus.blocks import Block, Document
from corpus.errors import ArticleError
from corpus.pdf_layout import BULLET, DASH, Line, is_marker, reading_order, without_running
from corpus.pdf_text import LEADER, extract, iso_date, legible

_HYPHENS = "\u2010\u00ad-"
_SENTENCE_END = re.compile(r"(?:[.?!:;。？！…][\"'”’»)\]]*|[^\d][.?!]\d{1,2})$")
_PARTED = re.compile(rf"(\w[\w{_HYPHENS}]*)([{_HYPHENS}])$")
_FIRST_WORD = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_COMPOUND = re.compile(r"\b\w++(?:[-\u2010]\w++)+")
_FILE_NAME = re.compile(
    r"\W*(?:untitled|anonymous|unspecified)\W*\d*|document\W*\d*|(?:powerpoint )?presentation\d*|about:blank|microsoft \w+ - .*"
    r"|.*\.(?:pdf|docx?|odt|rtf|txt|md|html?|tex|dvi|e?ps|indd|qxd|pptx?|odp|xlsx?|pages|pub|cdr|ai)",
    re.IGNORECASE,
)
_NOBODY = {"anonymous", "(anonymous)", "unknown", "user", "admin", "administrator", "root", "owner"}


@dataclass(frozen=True, slots=True)
class _Setting:
    """The size of most of the text, and the usual distance of baselines for each size."""

    body: float
    leading: dict[float, float]


_Paragraph = list[Line]


def read_pdf(data: bytes, name: str) -> Document:
    """Read a PDF in reading order, without its running headers, footers and page numbers.

    ``name`` is the file's name for messages. Raises ArticleError if the PDF is damaged or protected by a
    password, has more than MOST_PAGES pages, or holds no text.
    """
    pages, metadata = extract(data, name)
    sizes = Counter[float]()
    for run in chain.from_iterable(pages):
        sizes[run.size] += len(run.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    regions = [lines for page in without_running(pages, body) for lines in reading_order(page)]
    blocks = _blocks(_paragraphs(regions, body), body)
    if not blocks:
        raise ArticleError(f"{name}: no text in this PDF (scanned pages?); run OCR first, e.g. ocrmypdf")
    title, author = (legible(metadata.get(key, "")) for key in ("Title", "Author"))
    return Document(
        tuple(blocks),
        title="" if _FILE_NAME.fullmatch(title) else title,
        author="" if author.casefold() in _NOBODY else author,
        date=iso_date(metadata.get("CreationDate", "")) or iso_date(metadata.get("ModDate", "")),
    )


def _paragraphs(regions: list[list[Line]], body: float) -> list[_Paragraph]:
    """Join lines into paragraphs, also over the end of a column or page."""
    setting = _Setting(body, _leading(regions))
    paragraphs: list[_Paragraph] = []
    for lines in regions:
        first = len(paragraphs)
        for number, line in enumerate(lines):
            following = lines[number + 1] if number + 1 < len(lines) else None
            if number and not _starts(paragraphs[-1], line, following, setting):
                paragraphs[-1].append(line)
            else:
                paragraphs.append([line])
        _carry_over(paragraphs, first, body)
    return paragraphs


def _leading(regions: list[list[Line]]) -> dict[float, float]:
    """The usual distance of baselines by type size, learnt where a line is full and so goes on."""
    steps: dict[float, list[float]] = defaultdict(list)
    for upper, lower in chain.from_iterable(map(pairwise, regions)):
        step = upper.base - lower.base
        if upper.size == lower.size and step < 2.6 * upper.size and _is_full(upper, lower):
            steps[upper.size].append(step)
    return {size: median(found) for size, found in steps.items()}


def _is_full(line: Line, following: Line) -> bool:
    """Tell whether the following line's first word had no room on this line."""
    pace = (following.cells[-1].right - following.left) / max(len(following.text), 1)
    return line.room < 1.1 * pace * (len(following.text.split(maxsplit=1)[0]) + 1)


def _starts(paragraph: _Paragraph, line: Line, following: Line | None, setting: _Setting) -> bool:
    """Tell whether a line of the same column starts a new paragraph after ``paragraph``."""
    previous = paragraph[-1]
    if line.is_row or previous.is_row or BULLET.match(line.text) or LEADER.search(previous.text):
        return True
    if abs(line.size - previous.size) > 0.6:
        return True
    unfinished = _is_full(previous, line) and not _SENTENCE_END.search(previous.text)
    goes_on = unfinished and line.text[0].islower() and not is_marker(line.text)
    usual = setting.leading.get(line.size, 1.3 * line.size)
    if previous.base - line.base > usual * (1.6 if goes_on else 1.2):
        return True
    if is_marker(line.text) and (not unfinished or is_marker(paragraph[0].text)):
        return True
    return not goes_on and (
        (not unfinished and line.bold != previous.bold)
        or _is_indented(paragraph, line, following)
        or _is_cut_short(previous, line, setting.body)
    )


def _is_cut_short(line: Line, following: Line, body: float) -> bool:
    """Tell whether a line ends a paragraph: the following line's first word had room on it."""
    if _SENTENCE_END.search(line.text):
        return not _is_full(line, following)
    # The lines of a heading are often balanced, and text beside a picture is short.
    is_kept = line.size > 1.08 * body or _are_centred(line, following) or line.text[-1] in _HYPHENS
    return line.room > 8 * line.size and not is_kept and not following.text[0].islower()


def _are_centred(line: Line, following: Line) -> bool:
    return abs(line.middle - following.middle) < 1 and abs(line.left - following.left) > 2


def _is_indented(paragraph: _Paragraph, line: Line, following: Line | None) -> bool:
    """Tell a first line's indent, or the end of a hanging one, from the lines around it."""
    indent = line.left - paragraph[-1].left
    hangs = is_marker(paragraph[0].text)
    if _are_centred(paragraph[-1], line):
        return False
    if indent > 0.8 * line.size:
        follows = following is not None and following.left - line.left > -0.5 * line.size
        return not (len(paragraph) == 1 and (hangs or follows))
    return indent < -0.8 * line.size and (len(paragraph) > 1 or hangs)


def _carry_over(paragraphs: list[_Paragraph], first: int, body: float) -> None:
    """Append paragraph ``first``, which opens a column, to the one it continues, over any footnotes."""
    if first >= len(paragraphs):
        return
    opening = paragraphs[first][0]
    for earlier in reversed(paragraphs[max(0, first - 5) : first]):
        if _continues(earlier[-1], opening):
            earlier.extend(paragraphs.pop(first))
            return
        if earlier[-1].size > 0.95 * body:
            return


def _continues(last: Line, opening: Line) -> bool:
    if last.is_row or opening.is_row or abs(last.size - opening.size) > 0.3 or last.bold != opening.bold:
        return False
    if is_marker(opening.text) or (_SENTENCE_END.search(last.text) and last.text[-1] != ";"):
        return False
    return (
        opening.text[0].islower() or last.text[-1] in _HYPHENS or (_is_full(last, opening) and not last.bold)
    )


def _blocks(paragraphs: list[_Paragraph], body: float) -> list[Block]:
    lines = list(chain.from_iterable(paragraphs))
    compounds = {found.casefold() for line in lines for found in _COMPOUND.findall(line.text)}
    boldness = sum(len(line.text) * (1 if line.bold else -1) for line in lines)
    made = []
    for paragraph in paragraphs:
        text, size = legible(_join(paragraph, compounds)), 0.0
        if paragraph[0].is_row or LEADER.search(paragraph[0].text):
            pass
        elif _is_large(paragraph, text, body):
            size = paragraph[0].size
        elif boldness < 0 and _is_bold_heading(paragraph, text, body):
            size = body
        made.append((size, Block(text, 0, not size and all(line.bold for line in paragraph))))
    sizes = sorted({round(size) for size, _ in made if size}, reverse=True)
    levels = {size: min(rank, 6) for rank, size in enumerate(sizes, 1)}
    blocks = [replace(block, level=levels.get(round(size), 0)) for size, block in made]
    return [block for block in map(_without_bullet, blocks) if block.text]


def _without_bullet(block: Block) -> Block:
    """Mark list items; their numbers stay, as text may refer to them."""
    if block.level:
        return block
    return replace(block, text=DASH.sub("", BULLET.sub("", block.text)), item=is_marker(block.text))


def _is_large(paragraph: _Paragraph, text: str, body: float) -> bool:
    """Tell a heading by its size; slightly larger sentences are a lead, not a heading."""
    size = paragraph[0].size
    if size <= 1.08 * body or len(text) > 200 or not _LETTERS.search(text):
        return False
    return size >= 1.25 * body or text[-1] not in ".,;"


def _is_bold_heading(paragraph: _Paragraph, text: str, body: float) -> bool:
    if not all(line.bold for line in paragraph) or paragraph[0].size < 0.95 * body:
        return False
    return len(paragraph) <= 2 and len(text) <= 120 and text[-1:] not in ".,;:" and not BULLET.match(text)


def _join(paragraph: _Paragraph, compounds: set[str]) -> str:
    """Join lines into one; a word parted at a line's end loses its hyphen unless that belongs to it."""
    text = paragraph[0].text
    for line in paragraph[1:]:
        word, head = _PARTED.search(text[-60:]), _FIRST_WORD.match(line.text)
        if word and head:
            own = bool(_COMPOUND.match(word[1])) or f"{word[1]}-{head[0]}".casefold() in compounds
            letters = word[1][-1].islower() and line.text[0].islower()
            text = (text[:-1] if word[2] == "\u00ad" or (letters and not own) else text) + line.text
        else:
            together = text[-1] in "—/" or min(text[-1], line.text[0]) >= "\u2e80"  # or East Asian
            text += line.text if together else " " + line.text
    return text
