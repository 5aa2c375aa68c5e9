"""Runs -> the lines of each column in reading order, without running headers and footers.

Knows geometry alone.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from statistics import median

from corpus.pdf_text import Run, as_rows

BULLET = re.compile("^[•‣▪●◦■□○◆✓✔➢➤∙·\ue000-\uf8ff](?:\\s+|$)")  # symbol fonts use private code points
DASH = re.compile(r"^[-–—*o]\s+(?=\S)")  # "o" is a word processor's second bullet
_NUMBER = re.compile(r"^(?:\(?(?:\d{1,2}|[a-zA-Z])[.)]|[QA]\d{0,2}[.:])\s+(?=\S)")
_PAGE_NUMBER = re.compile(r"^\W*(?:page\b)?\W*(\d{1,4})(\s*(?:of|/)\s*\d{1,4})?\W*$", re.IGNORECASE)
_ROMAN = re.compile(r"^\W*[ivxl]{1,6}\W*$")
_PRINTED_ON = re.compile(r"^\d{1,2}/\d{1,2}/\d{2,4}, \d{1,2}:\d\d ")  # a browser's header


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a column; ``room`` is what is free to the column's right edge."""

    cells: tuple[Run, ...]
    text: str
    base: float
    size: float
    bold: bool
    room: float
    is_row: bool = False

    @property
    def left(self) -> float:
        """Where the line begins, in points."""
        return self.cells[0].left

    @property
    def middle(self) -> float:
        """The line's centre, in points."""
        return (self.cells[0].left + self.cells[-1].right) / 2


@dataclass(frozen=True, slots=True)
class _Gutter:
    """The space left of ``edge``, where the lines of a right column start from ``top`` to ``bottom``."""

    edge: float
    top: float
    bottom: float

    def is_left(self, run: Run) -> bool:
        return (run.left + run.right) / 2 < self.edge

    def is_crossed_by(self, row: list[Run]) -> bool:
        """Tell whether a row stands across both columns, be it a title or a table above or below them."""
        if any(run.left < self.edge - run.size and run.right > self.edge + run.size for run in row):
            return True
        em = row[0].size
        is_outside = not self.bottom - 1.5 * em <= row[0].base <= self.top + 1.5 * em
        left = [run.right for run in row if self.is_left(run)]
        return is_outside and 0 < len(left) < len(row) and max(left) < self.edge - 6 * em


def without_running(pages: list[list[Run]], body: float) -> list[list[Run]]:
    """Drop the rows that repeat, digits aside, at the same edge of most pages, and page numbers."""
    paged = [as_rows(page) for page in pages]
    most = max(2, sum(map(bool, paged)) // 2 + 1)
    edges = [
        [(row, _running_keys(row, number, body, most)) for row in rows[::step][:5]]
        for number, rows in enumerate(paged)
        for step in (1, -1)
    ]
    seen = [
        Counter(chain.from_iterable({key for _, keys in rows for key in keys} for rows in edges[n::2]))
        for n in (0, 1)
    ]
    dropped: set[int] = set()
    for place, rows in enumerate(edges):
        running = [any(seen[place % 2][key] >= need for key, need in keys.items()) for _, keys in rows]
        depth = (*running, False).index(False)
        if depth < 5:  # pages that begin with five equal rows are copies, not pages with a header
            dropped |= {id(run) for row, _ in rows[:depth] for run in row}
    kept = [[run for run in page if id(run) not in dropped] for page in pages]
    return kept if any(kept) else pages


def _running_keys(row: list[Run], number: int, body: float, most: int) -> dict[str, int]:
    """What a running row has in common with others, and on how many pages: its words, or how it counts."""
    text, size = " ".join(run.text for run in row), max(run.size for run in row)
    keys: dict[str, int] = {}
    if any(map(str.isalpha, text)) and (most > 2 or size < 0.9 * body):  # two pages may begin alike by chance
        words = text if size > 1.1 * body else re.sub(r"[\d\s]+", " ", text)  # "Chapter 2" is no "Chapter 1"
        keys = {words: most, f"{words} {round(row[0].base)}": 5}
    for part, needed in ((text, 2), (row[0].text, 3), (row[-1].text, 3)):
        found = _PAGE_NUMBER.match(part[:40])
        if found and size < 1.5 * body:
            offset = int(found[1]) - number - 1
            is_sure = not offset and (part == text or bool(found[2]))
            keys.setdefault(f"#{offset} {needed}", 1 if is_sure else needed)
    return keys | {"#": 1} if _ROMAN.match(text) or _PRINTED_ON.match(text) else keys


def reading_order(runs: list[Run]) -> list[list[Line]]:
    """Split a page into its columns and what stands across them, in reading order."""
    gutter = _gutter(runs)
    if gutter is None:
        return [_lines(runs)] if runs else []
    regions: list[list[Line]] = []
    wide, left, right = list[Run](), list[Run](), list[Run]()
    for row in as_rows(runs):
        is_wide = gutter.is_crossed_by(row)
        if is_wide and (left or right):
            regions += [*reading_order(left), *reading_order(right)]
            left, right = [], []
        elif wide and not is_wide:
            regions.append(_lines(wide))
            wide = []
        for run in row:
            (wide if is_wide else left if gutter.is_left(run) else right).append(run)
    return regions + ([_lines(wide)] if wide else []) + reading_order(left) + reading_order(right)


def _gutter(runs: list[Run]) -> _Gutter | None:
    """Find where a second column begins: many rows start there, and both sides look like columns."""
    if len(runs) < 8:
        return None
    start, end = min(run.left for run in runs), max(run.right for run in runs)
    middle = (run.left for run in runs if 0.2 < (run.left - start) / (end - start + 1) < 0.8)
    for edge, count in Counter(round(left) for left in middle).most_common(6):
        bases = [run.base for run in runs if abs(run.left - edge) < 2]
        gutter = _Gutter(edge, max(bases) + 2, min(bases) - 2)
        beside = [run for run in runs if gutter.bottom <= run.base <= gutter.top]
        left = as_rows(run for run in beside if run.right < edge)
        right = as_rows(run for run in beside if run.left > edge - 2)
        crossing = sum(run.left < edge - 2 and run.right >= edge for run in beside)
        enough = count >= max(4, len(right) / 4) and len(left) >= max(4, 2 * crossing)
        if enough and _are_columns(left, right):
            return gutter
    return None


def _are_columns(left: list[list[Run]], right: list[list[Run]]) -> bool:
    """Tell columns from a table: their lines are full, or do not stand side by side."""
    bases = {round(row[0].base) for row in right}
    beside = sum(bool({round(row[0].base) + step for step in (-1, 0, 1)} & bases) for row in left)
    return beside < len(left) / 2 or (_is_text(left) and _is_text(right))


def _is_text(rows: list[list[Run]]) -> bool:
    width = max(row[-1].right for row in rows) - min(row[0].left for row in rows)
    filled = [sum(run.right - run.left for run in row) for row in rows]
    letters = sum(len(run.text) for row in rows for run in row)
    return letters >= 15 * len(rows) and median(filled) > 0.7 * width


def _lines(runs: list[Run]) -> list[Line]:
    """Lay out one column's lines, top first."""
    rows = [_cells(row) for row in as_rows(runs)]
    edge = max(row[-1].right for row in rows)
    lines = []
    for cells in rows:
        main = max(cells, key=lambda run: len(run.text))
        text = " ".join(cell.text for cell in cells)
        bold = sum(cell.heavy for cell in cells) >= 0.9 * len(text.replace(" ", ""))
        lines.append(Line(tuple(cells), text, main.base, main.size, bold, edge - cells[-1].right))
    return _with_rows(lines)


def _cells(row: list[Run]) -> list[Run]:
    """Join the runs of a line except over large gaps."""
    cells = [row[0]]
    for run in row[1:]:
        last, gap = cells[-1], run.left - cells[-1].right
        if gap > 0.8 * run.size and not is_marker(last.text + " x"):
            cells.append(run)
            continue
        text = f"{last.text}{' ' if gap > 0.15 * run.size else ''}{run.text}"
        main = max(last, run, key=lambda part: len(part.text))
        cells[-1] = Run(
            text, last.left, max(last.right, run.right), main.base, main.size, last.heavy + run.heavy
        )
    return cells


def _with_rows(lines: list[Line]) -> list[Line]:
    """Mark the rows of tables: three lines or more whose cells stand in line."""
    aligned = [False, *(_are_aligned(upper, lower) for upper, lower in pairwise(lines)), False, False]
    rows = {n + k for n in range(len(lines)) if aligned[n] and aligned[n + 1] for k in (-1, 0, 1)}
    return [
        replace(line, is_row=True, text=" | ".join(cell.text for cell in line.cells)) if n in rows else line
        for n, line in enumerate(lines)
    ]


def _are_aligned(upper: Line, lower: Line) -> bool:
    return any(_is_under(above, below) for above in upper.cells[1:30] for below in lower.cells[1:30])


def _is_under(above: Run, below: Run) -> bool:
    """Tell whether two cells share an edge or middle; justified text shares right edges, so only figures may."""
    left, right = below.left - above.left, below.right - above.right
    return (
        abs(left) < 2 or abs(left + right) < 2 or (abs(right) < 2 and not re.search(r"[a-z]{2}", below.text))
    )


def is_marker(text: str) -> bool:
    """Tell whether a line begins as a list's item does."""
    return any(marker.match(text) for marker in (BULLET, DASH, _NUMBER))
