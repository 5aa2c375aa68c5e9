"""DOCX and EPUB -> Document, through HTML; an archive may not expand without limit nor declare entities."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from corpus.blocks import Document, clean
from corpus.errors import ArticleError
from corpus.html import read_markup

MOST_EXPANDED = 200_000_000
"""Bytes that an archive's files may have in all."""
_MOST_FILES = 10_000
_MOST_PART = 50_000_000
_DECLARES = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_STYLES = "p[style-name='Title'] => h1:fresh"
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_DATE = re.compile(r"^\d{4}(?:-\d\d(?:-\d\d)?)?")


def read_docx(data: bytes, name: str) -> Document:
    """Read a Word document: headings, paragraphs, lists and tables; raises ArticleError if it is damaged."""
    import mammoth

    with _opened(data, name) as archive:
        for entry in archive.namelist():
            if entry.endswith((".xml", ".rels")):
                _refuse_entities(_part(archive, entry), name)
        core = _xml(archive, "docProps/core.xml", name) if "docProps/core.xml" in archive.namelist() else None
        options = {"convert_image": mammoth.images.img_element(lambda _: {}), "style_map": _STYLES}
        html = mammoth.convert_to_html(io.BytesIO(data), include_embedded_style_map=False, **options).value
    return _with_metadata(read_markup(html, name), core)


def read_epub(data: bytes, name: str) -> Document:
    """Read a book's chapters in their reading order; raises ArticleError if it is damaged or encrypted."""
    with _opened(data, name) as archive:
        if "META-INF/rights.xml" in archive.namelist():
            raise ArticleError(f"{name}: the book is encrypted (DRM); add a copy without it")
        container = _xml(archive, "META-INF/container.xml", name)
        package_path = container.xpath("string(//*[local-name()='rootfile']/@full-path)")
        package = _xml(archive, package_path, name)
        chapters = [
            read_markup(_decode(_part(archive, path)), name)
            for path in _spine(package, package_path, archive)
        ]
    blocks = tuple(block for chapter in chapters for block in chapter.blocks)
    faqs = tuple(faq for chapter in chapters for faq in chapter.faqs)
    return _with_metadata(Document(blocks, faqs), package)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive within the limits; whatever breaks inside it is an ArticleError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > MOST_EXPANDED:
                raise ArticleError(f"{name}: expands to more than {MOST_EXPANDED:,} bytes; split it")
            if any(entry.flag_bits & 1 for entry in entries):
                raise ArticleError(f"{name}: protected by a password; save it without one")
            yield archive
    except ArticleError:
        raise
    except (MemoryError, RecursionError) as error:
        raise ArticleError(f"{name}: too large or too deep to read; split it") from error
    except Exception as error:  # the libraries below raise many kinds on damaged files
        raise ArticleError(f"{name}: damaged ({type(error).__name__}); save or download it again") from error


def _part(archive: zipfile.ZipFile, path: str) -> bytes:
    """Return a file of the archive; its declared size bounds what is read of it."""
    if archive.getinfo(path).file_size > _MOST_PART:
        raise zlib.error("a part is too large")
    return archive.read(path)


def _refuse_entities(data: bytes, name: str) -> None:
    if _DECLARES.search(data.replace(b"\0", b"")):
        raise ArticleError(f"{name}: declares XML entities, which articles do not need; save it anew")


def _xml(archive: zipfile.ZipFile, path: str, name: str) -> Any:
    from lxml import etree

    data = _part(archive, path)
    _refuse_entities(data, name)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(data, parser)


def _spine(package: Any, package_path: str, archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the chapters' paths within the archive, each once; navigation pages are left out."""
    folder = posixpath.dirname(package_path)
    items = {
        item.get("id"): item.get("href", "")
        for item in package.xpath("//*[local-name()='manifest']/*[local-name()='item']")
        if "nav" not in item.get("properties", "").split()
    }
    names, seen = set(archive.namelist()), set[str]()
    for reference in package.xpath("//*[local-name()='spine']/*[local-name()='itemref']/@idref"):
        path = posixpath.normpath(posixpath.join(folder, unquote(items.get(reference, ""))))
        if path in names and path not in seen:
            seen.add(path)
            yield path


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def _with_metadata(document: Document, root: Any) -> Document:
    """Add title, author and date from Dublin Core elements."""
    if root is None:
        return document
    created = root.findtext(".//{http://purl.org/dc/terms/}created") or root.findtext(
        f".//{_DUBLIN_CORE}date"
    )
    date = _DATE.match((created or "").strip())
    return replace(
        document,
        title=clean(root.findtext(f".//{_DUBLIN_CORE}title") or ""),
        author=clean(root.findtext(f".//{_DUBLIN_CORE}creator") or ""),
        date=date.group() if date else "",
    )
