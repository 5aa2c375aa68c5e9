"""A file or a folder -> articles. The one place that reads articles from outside; all input is hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from corpus.article import Article, Section
from corpus.blocks import Block, markdown_blocks, normalize, plain_blocks
from corpus.errors import ArticleError
from corpus.faq import split_faq

MARKDOWN_SUFFIXES = frozenset({".md", ".markdown"})
TEXT_SUFFIXES = frozenset({".txt", ".text"})
MOST_BYTES = 20_000_000
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LONGEST_TITLE = 120


def bundled_articles() -> Path:
    """Return the folder of the articles that come with the project."""
    return Path(__file__).parent / "articles"


def find_files(path: Path) -> list[Path]:
    """Return the readable article files at ``path``, sorted: the file itself, or all below a folder.

    Raises ArticleError if there is nothing to read.
    """
    readable = MARKDOWN_SUFFIXES | TEXT_SUFFIXES
    kinds = ", ".join(sorted(readable))
    try:
        if not path.exists():
            raise ArticleError(f"{path}: no such file or folder; check the path")
        if path.is_file():
            if path.suffix.lower() not in readable:
                raise ArticleError(f"{path}: cannot read this kind of file; convert it to one of {kinds}")
            return [path]
        next(path.iterdir(), None)  # rglob passes over a folder that may not be listed
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in readable and file.is_file())
    except OSError as error:
        raise ArticleError(f"{path}: {error.strerror}; check its permissions (chmod -R u+rX)") from error
    if not found:
        raise ArticleError(f"{path}: no articles in this folder; it needs files ending in {kinds}")
    return found


def read_articles(path: Path) -> Iterator[Article]:
    """Read every article at ``path`` (a file or a folder); raises ArticleError at the first that fails."""
    for file in find_files(path):
        yield read_file(file)


def read_file(path: Path) -> Article:
    """Read one Markdown or plain-text file.

    Raises ArticleError if the file is missing, too large, empty, not text or has no body.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ArticleError(f"{path}: {size:,} bytes; split it into files of at most {MOST_BYTES:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ArticleError(f"{path}: {error.strerror}; check the path and its permissions") from error
    text = _decode(data, path)
    return parse_article(text, path.resolve(), markdown=path.suffix.lower() in MARKDOWN_SUFFIXES)


def _decode(data: bytes, path: Path) -> str:
    if not data.strip():
        raise ArticleError(f"{path}: the file is empty; nothing was added")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace") if b"\0" not in data else "\0"
    strange = sum((char < " " and char not in "\t\n\r\f") or char == "\ufffd" for char in text)
    if strange > len(text) // 100:
        raise ArticleError(
            f"{path}: this is not text (a binary file?); save it as UTF-8 Markdown or plain text"
        )
    return text


def parse_article(text: str, path: Path, *, markdown: bool) -> Article:
    """Build the article of a text whose file is ``path``; raises ArticleError if no body is left."""
    text = normalize(text)
    meta: dict[str, str] = {}
    if markdown and (front := _FRONT_MATTER.match(text)):
        meta = _front_matter(front.group(1))
        text = text[front.end() :]
    blocks, faqs = split_faq(markdown_blocks(text) if markdown else plain_blocks(text))
    title = (meta.get("title") or _title(blocks) or path.stem)[:_LONGEST_TITLE]
    blocks = _without_title(blocks, title)
    body, sections = _lay_out(blocks)
    if not body:
        raise ArticleError(f"{path}: no text besides headings and FAQ; nothing was added")
    return Article(_slug(path.stem), title, str(path), body, sections, tuple(faqs))


def _front_matter(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\n"))
    return {key.strip().lower(): value.strip().strip("\"'") for key, colon, value in pairs if colon}


def _title(blocks: list[Block]) -> str:
    """The first level-1 heading; else the first line, cut at its first sentence."""
    top = next((block.text for block in blocks if block.level == 1), "")
    if top or not blocks:
        return top
    first = blocks[0].text
    return first if len(first) <= _LONGEST_TITLE else re.split(r"(?<=[.!?])\s", first)[0]


def _without_title(blocks: list[Block], title: str) -> list[Block]:
    """Drop the headings that repeat the title; a paragraph is body text and always stays."""
    return [block for block in blocks if not (block.level and block.text.casefold() == title.casefold())]


def _lay_out(blocks: list[Block]) -> tuple[str, tuple[Section, ...]]:
    """Join blocks into the stored text, a line each, with a section per heading."""
    parts: list[str] = []
    sections: list[Section] = []
    length = 0
    heading, start, end = "", 0, 0
    for block in blocks:
        if block.level:
            if end > start:
                sections.append(Section(heading, start, end))
            heading, start = block.text, length + len(block.text) + 2
            end = start
        parts.append(block.text)
        length += len(block.text) + 2
        if not block.level:
            end = length - 2
    if end > start:
        sections.append(Section(heading, start, end))
    return ("\n\n".join(parts), tuple(sections)) if sections else ("", ())


def _slug(stem: str) -> str:
    slug = re.sub(r"[^\w]+", "-", stem.casefold()).strip("-_")[:80]
    return slug or "article"
