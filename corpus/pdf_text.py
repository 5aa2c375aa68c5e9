"""A PDF -> runs of characters that stand together on one baseline, page by page, through PDFium."""

from __future__ import annotations

import ctypes
import datetime
import math
import re
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from corpus.blocks import clean
from corpus.errors import ArticleError

MOST_PAGES = 5_000
_ONE_AT_A_TIME = threading.Lock()  # PDFium must not be called from two threads at once
_BOLD = re.compile(r"bold|black|heavy|semib|demi|cm\w*bx|sfbx|medi$|[-,]bd", re.IGNORECASE)
_FORCE_BOLD = 1 << 18
_LIGATURE = re.compile("[\ufb00-\ufb06]")
LEADER = re.compile(r"(?:\s?\.){4,}")


@dataclass(frozen=True, slots=True, eq=False)
class _Style:
    """How characters are set; ``turn`` counts the quarter turns of their baseline."""

    size: float
    base: float
    bold: bool
    turn: int


@dataclass(slots=True)
class _Word:
    text: str
    left: float
    right: float
    style: _Style
    is_spaced: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring characters on one baseline; ``heavy`` counts the bold ones."""

    text: str
    left: float
    right: float
    base: float
    size: float
    heavy: int


def extract(data: bytes, name: str) -> tuple[list[list[Run]], dict[str, str]]:
    """Return the runs of every page and the metadata: all that needs PDFium."""
    import pypdfium2

    try:
        with _ONE_AT_A_TIME, closing(pypdfium2.PdfDocument(data)) as pdf:
            if len(pdf) > MOST_PAGES:
                raise ArticleError(
                    f"{name}: {len(pdf):,} pages; split it into PDFs of at most {MOST_PAGES:,}"
                )
            return [_read_page(pdf, number) for number in range(len(pdf))], pdf.get_metadata_dict()
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (
            pypdfium2.raw.FPDF_ERR_PASSWORD,
            pypdfium2.raw.FPDF_ERR_SECURITY,
        ):
            advice = "protected by a password; open it and save it without one"
        else:
            advice = "damaged, or not a PDF; print it to a new PDF from a viewer that can open it"
        raise ArticleError(f"{name}: {advice}") from error


def iso_date(stamp: str) -> str:
    """Turn ``D:YYYYMMDD...`` into ISO 8601; "" if that is no date."""
    digits = re.match(r"(?:D:)?(\d{4})(\d\d)(\d\d)", stamp)
    try:
        return datetime.date(*map(int, digits.groups())).isoformat() if digits else ""
    except ValueError:
        return ""


def legible(text: str) -> str:
    """Spell ligatures out, shorten leaders, and drop what cannot be encoded or seen."""
    text = _LIGATURE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), LEADER.sub(" ...", text))
    return clean(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore"))


def _read_page(pdf: Any, number: int) -> list[Run]:
    """Return a page's runs, those of its main direction upright and the others below them."""
    with closing(pdf[number]) as page, closing(page.get_textpage()) as text_page:
        turned = _runs(_words(text_page.raw))
        turned[0] = _with_bullets(turned[0], _discs(page.raw))
    groups = sorted(filter(None, turned.values()), key=lambda runs: -sum(len(run.text) for run in runs))
    page_runs: list[Run] = []
    for runs in groups:
        drop = max(run.base for run in runs) - min((run.base for run in page_runs), default=0) + 100
        page_runs += [replace(run, base=run.base - drop) for run in runs] if page_runs else runs
    return page_runs


def _discs(page: Any) -> list[tuple[float, float]]:
    """Return where small shapes are drawn, as (right edge, middle height): browsers draw bullets so."""
    from pypdfium2 import raw

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    discs = []
    for number in range(raw.FPDFPage_CountObjects(page)):
        shape = raw.FPDFPage_GetObject(page, number)
        if raw.FPDFPageObj_GetType(shape) == raw.FPDF_PAGEOBJ_PATH:
            raw.FPDFPageObj_GetBounds(shape, left, bottom, right, top)
            width, height = right.value - left.value, top.value - bottom.value
            if 1 < width < 8 and abs(width - height) < 0.5:
                discs.append((right.value, (top.value + bottom.value) / 2))
    return discs if len(discs) <= 100 else []  # more are a drawing


def _with_bullets(runs: list[Run], discs: list[tuple[float, float]]) -> list[Run]:
    return [
        replace(run, text="• " + run.text)
        if any(0 < run.left - x < 1.5 * run.size and 0.1 < (y - run.base) / run.size < 0.5 for x, y in discs)
        else run
        for run in runs
    ]


def _words(text_page: Any) -> list[_Word]:
    """Gather the visible characters; the style is looked up once a word, for speed."""
    from pypdfium2 import raw

    words: list[_Word] = []
    word = _Word("", 0.0, 0.0, _Style(0.0, 0.0, False, 0), False)
    box, top, is_spaced = raw.FS_RECTF(), math.nan, False
    address = ctypes.byref(box)
    for index in range(raw.FPDFText_CountChars(text_page)):
        char = _character(raw.FPDFText_GetUnicode(text_page, index))
        if not char or char.isspace():
            is_spaced = is_spaced or bool(char)
        elif raw.FPDFText_GetLooseCharBox(text_page, index, address):
            left, right = box.left, box.right
            if not is_spaced and box.top == top and abs(left - word.right) < word.style.size:
                word.text += char
                word.left, word.right = min(word.left, left), max(word.right, right)
                continue
            style = _style(text_page, index)
            ends = ((left, right), (box.bottom, box.top), (-right, -left), (-box.top, -box.bottom))[
                style.turn
            ]
            word = _Word(char, *ends, style, is_spaced)
            words.append(word)
            top, is_spaced = (math.nan if style.turn else box.top), False
    return words


def _character(code: int) -> str:
    if code in (0x02, 0xFFFE):  # PDFium's sign for a hyphen at a line's end
        return "-"
    return chr(code) if 0 < code < 0x110000 else ""


def _style(text_page: Any, index: int) -> _Style:
    from pypdfium2 import raw

    matrix, x, y = raw.FS_MATRIX(), ctypes.c_double(), ctypes.c_double()
    font, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    raw.FPDFText_GetMatrix(text_page, index, matrix)
    raw.FPDFText_GetCharOrigin(text_page, index, x, y)
    raw.FPDFText_GetFontInfo(text_page, index, font, 128, flags)
    # The nominal size leaves out the scale of the text's matrix.
    size = raw.FPDFText_GetFontSize(text_page, index) * math.hypot(matrix.c, matrix.d)
    size = round(min(max(abs(size), 1.0), 999.0), 1) if math.isfinite(size) else 1.0
    angle = math.atan2(matrix.b, matrix.a)
    turn = round(angle / (math.pi / 2)) % 4 if math.isfinite(angle) else 0
    bold = bool(_BOLD.search(font.value.decode("latin-1"))) or bool(flags.value & _FORCE_BOLD)
    return _Style(size, (y.value, -x.value, -y.value, x.value)[turn], bold, turn)


def _runs(words: Iterable[_Word]) -> dict[int, list[Run]]:
    """Gather neighbours into runs, in lists by their quarter turns."""
    gathered: list[list[_Word]] = []
    left = right = 0.0
    for word in words:
        if gathered and _is_neighbour(gathered[-1][-1].style, word, left, right):
            gathered[-1].append(word)
            left, right = min(left, word.left), max(right, word.right)
        else:
            gathered.append([word])
            left, right = word.left, word.right
    turned: dict[int, list[Run]] = defaultdict(list)
    for run in gathered:
        made = _run(run)
        if all(abs(number) < 1e6 for number in (made.left, made.right, made.base)):  # false for NaN too
            turned[run[0].style.turn].append(made)
    return turned


def _is_neighbour(style: _Style, word: _Word, left: float, right: float) -> bool:
    em = max(style.size, word.style.size)
    shift = abs(style.base - word.style.base)
    gap = word.left - right
    if "\u0590" <= word.text[0] <= "\u08ff" and gap < 0:  # these scripts run to the left
        gap = max(left - word.right, -em / 2)
    if style.turn != word.style.turn or shift >= 0.6 * em:
        return False
    return (
        -em < gap < 0.8 * em if shift < 0.05 * em else abs(gap) < 0.3 * em
    )  # else: a raised or lowered figure


def _run(words: list[_Word]) -> Run:
    text = "".join(" " + word.text if word.is_spaced else word.text for word in words)
    settings = Counter[tuple[float, float]]()
    for word in words:
        settings[word.style.size, word.style.base] += len(word.text)
    size, base = max(settings, key=lambda setting: (settings[setting], setting[0]))
    heavy = sum(len(word.text) for word in words if word.style.bold)
    ends = min(word.left for word in words), max(word.right for word in words)
    return Run(text.strip(), *ends, base, size, heavy)


def as_rows(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs of about the same height, top first, each row from left to right."""
    rows: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: -run.base):
        if rows and rows[-1][0].base - run.base < 0.5 * min(rows[-1][0].size, run.size):
            rows[-1].append(run)
        else:
            rows.append([run])
    return [sorted(row, key=lambda run: run.left) for row in rows]
