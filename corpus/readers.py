"""A file, a folder or a pattern -> articles: which reader takes which format. All input is hostile."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from corpus.archives import read_docx, read_epub
from corpus.article import Article, Section
from corpus.blocks import Block, Document, normalize, plain_blocks, without_contents, without_residue
from corpus.errors import ArticleError
from corpus.faq import split_faq
from corpus.html import read_page
from corpus.markdown import read_markdown
from corpus.pdf import read_pdf

VERSION = "3"
"""Raised when readers come to read the same bytes otherwise: known files are then read again."""
MOST_BYTES = 100_000_000
MOST_TEXT_BYTES = 20_000_000
_LONGEST_TITLE = 120
_META_CHARSET = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE
)


def _read_text(text: str, name: str) -> Document:
    return Document(tuple(without_residue(plain_blocks(normalize(text)))))


def _read_html(text: str, name: str) -> Document:
    document = read_page(text, name)
    return replace(document, blocks=tuple(without_residue(document.blocks)))


_OF_TEXT: dict[str, Callable[[str, str], Document]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": _read_text,
    ".text": _read_text,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
}
_OF_BYTES: dict[str, Callable[[bytes, str], Document]] = {
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".epub": read_epub,
}
SUFFIXES = frozenset(_OF_TEXT) | frozenset(_OF_BYTES)
KINDS = ", ".join(sorted(SUFFIXES))


def bundled_articles() -> Path:
    """Return the folder of the articles that come with the project."""
    return Path(__file__).parent / "articles"


# which files


def find_files(place: Path) -> list[Path]:
    """Return the article files at ``place``, sorted: a file, all below a folder, or what a pattern matches.

    Hidden files are passed over, and so are links that lead out of the folder. Raises ArticleError if there
    is nothing to read.
    """
    try:
        if place.is_file():
            if place.suffix.lower() not in SUFFIXES:
                raise ArticleError(f"{place}: cannot read this kind of file; convert it to one of {KINDS}")
            return [place]
        if place.is_dir():
            found = files_below(place)
        elif any(mark in str(place) for mark in "*?["):
            matches = Path(place.anchor or ".").glob(str(place.relative_to(place.anchor)))
            found = sorted(path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file())
        else:
            raise ArticleError(f"{place}: no such file or folder; check the path")
    except (OSError, ValueError, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ArticleError(
            f"{place}: {reason}; check the path and its permissions (chmod -R u+rX)"
        ) from error
    if not found:
        raise ArticleError(f"{place}: no articles there; it needs files ending in {KINDS}")
    return found


def files_below(folder: Path) -> list[Path]:
    """Return the article files below ``folder``, sorted; raises OSError where a folder may not be listed."""
    root = folder.resolve()
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent) / name for name in names if not name.startswith("."))
        found.extend(p for p in paths if p.suffix.lower() in SUFFIXES and p.resolve().is_relative_to(root))
    return sorted(path for path in found if path.is_file())


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises ArticleError if it cannot be read, is empty or too large."""
    most = MOST_TEXT_BYTES if path.suffix.lower() in _OF_TEXT else MOST_BYTES
    try:
        size = path.stat().st_size
        if size > most:
            raise ArticleError(f"{path}: {size:,} bytes; split it into files of at most {most:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ArticleError(f"{path}: {error.strerror}; check the path and its permissions") from error
    if not data.strip():
        raise ArticleError(f"{path}: the file is empty; nothing was added")
    return data


# bytes -> article


def digest_of(data: bytes, suffix: str) -> str:
    """Return what tells whether the same bytes would be read the same way again."""
    return hashlib.sha256(f"{VERSION} {suffix.lower()}\n".encode() + data).hexdigest()


def read_document(data: bytes, suffix: str, name: str, charset: str = "") -> Document:
    """Read the bytes of one file of the kind ``suffix`` (".pdf"); ``name`` is for messages.

    Raises ArticleError if they are not of that kind, damaged or beyond a limit.
    """
    suffix = suffix.lower()
    if suffix in _OF_BYTES:
        return _OF_BYTES[suffix](data, name)
    if suffix not in _OF_TEXT:
        raise ArticleError(f"{name}: cannot read this kind of file; convert it to one of {KINDS}")
    is_html = _OF_TEXT[suffix] is _read_html
    try:
        return _OF_TEXT[suffix](_decode(data, name, charset, is_html), name)
    except RecursionError as error:
        raise ArticleError(f"{name}: nested too deeply; simplify it or save it as plain text") from error


def make_article(document: Document, stem: str, source: str, digest: str = "") -> Article:
    """Lay a document out as an article; ``stem`` is what its id and, at need, its title are made from.

    Raises ArticleError if no body is left.
    """
    blocks, faqs = split_faq(without_contents(list(document.blocks)), document.faqs)
    title = (document.title or _title(blocks) or stem)[:_LONGEST_TITLE].strip()
    body, sections = _lay_out(_without_title(blocks, title))
    if not body:
        raise ArticleError(f"{source}: no text besides headings and FAQ; nothing was added")
    return Article(
        _slug(stem),
        title,
        source,
        body,
        sections,
        tuple(faqs),
        author=document.author,
        date=document.date,
        url=document.url,
        source_digest=digest,
    )


def read_file(path: Path) -> Article:
    """Read one file in this process; raises ArticleError if it cannot be read or has no body."""
    return parse_article(read_bytes(path), path.resolve())


def parse_article(data: bytes, path: Path) -> Article:
    """Read the bytes of the file at ``path``; raises ArticleError if they cannot be read or have no body."""
    document = read_document(data, path.suffix, str(path))
    return make_article(document, path.stem, str(path), digest_of(data, path.suffix))


def read_articles(place: Path) -> Iterator[Article]:
    """Read every article at ``place`` in this process; raises ArticleError at the first that fails."""
    for file in find_files(place):
        yield read_file(file)


def _decode(data: bytes, name: str, charset: str, is_html: bool) -> str:
    text = _decoded(data, _declared(data, charset, is_html))
    strange = sum((char < " " and char not in "\t\n\r\f") or char == "\ufffd" for char in text)
    if strange > len(text) // 100:
        raise ArticleError(f"{name}: this is not text (a binary file?); save it as UTF-8 text and add that")
    return text


def _declared(data: bytes, charset: str, is_html: bool) -> str:
    """Return the encoding that the byte order mark, the sender or the page names; "" if none does."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return encoding
    if is_html and not charset and (meta := _META_CHARSET.search(data[:4096])):
        charset = meta.group(1).decode("ascii")
    return charset


def _decoded(data: bytes, encoding: str) -> str:
    """Decode by the named encoding, else UTF-8, else Windows-1252, as browsers do."""
    if encoding.lower() in ("iso-8859-1", "latin-1", "latin1", "ascii", "us-ascii"):
        encoding = "cp1252"
    for candidate in (encoding, "utf-8"):
        try:
            decoded = codecs.decode(data, candidate, "strict") if candidate else None
        except (LookupError, ValueError, AssertionError):
            continue
        if isinstance(decoded, str):
            return decoded
    return data.decode("cp1252", errors="replace") if b"\0" not in data else "\0"


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
