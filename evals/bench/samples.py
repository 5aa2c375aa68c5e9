"""Files of each kind, made for the tests and benchmarks from a title and headed texts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from html import escape

Sections = list[tuple[str, str]]
"""Headings, each with its text; an empty line parts paragraphs."""
CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def as_markdown(title: str, sections: Sections) -> bytes:
    """Return a Markdown file."""
    return "\n\n".join([f"# {title}", *(f"## {h}\n\n{t}" for h, t in sections)]).encode()


def as_text(title: str, sections: Sections) -> bytes:
    """Return a plain-text file."""
    return "\n".join([title, *(f"{h}\n{t}" for h, t in sections)]).encode()


def as_html(title: str, sections: Sections) -> bytes:
    """Return a web page."""
    body = "".join(
        f"<h2>{escape(h)}</h2>" + "".join(f"<p>{escape(p)}</p>" for p in t.split("\n\n")) for h, t in sections
    )
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{escape(title)}</title></head><body><nav><a href="/">Home</a>'
        f"</nav><article><h1>{escape(title)}</h1>{body}</article><aside>Buy a boat!</aside></body></html>"
    ).encode()


def as_docx(title: str, sections: Sections) -> bytes:
    """Return a Word document."""
    from docx import Document

    document = Document()
    document.core_properties.title = title
    document.core_properties.author = "Ann Lee"
    document.add_heading(title, 0)
    for heading, text in sections:
        document.add_heading(heading, 1)
        for paragraph in text.split("\n\n"):
            document.add_paragraph(paragraph)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def archive(files: dict[str, str | bytes]) -> bytes:
    """Return a zip file of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def as_epub(title: str, sections: Sections) -> bytes:
    """Return a book with a chapter for each section."""
    chapters = {
        f"c{n}.xhtml": as_html(h, [(h, t)]).replace(b"<aside>Buy a boat!</aside>", b"")
        for n, (h, t) in enumerate(sections)
    }
    items = "".join(
        f'<item id="i{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>'
        for n in range(len(sections))
    )
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(sections)))
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title>'
        f"<dc:creator>Ann Lee</dc:creator><dc:date>2026-04-09</dc:date></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    return archive(
        {
            "META-INF/container.xml": CONTAINER,
            "OPS/book.opf": package,
            **{f"OPS/{n}": d for n, d in chapters.items()},
        }
    )


def as_pdf(title: str, sections: Sections) -> bytes:
    """Return a PDF, its content not compressed."""
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    out = io.BytesIO()
    styles = getSampleStyleSheet()
    story = [Paragraph(escape(title), styles["Title"])]
    for heading, text in sections:
        story.append(Paragraph(escape(heading), styles["Heading2"]))
        story += [Paragraph(escape(paragraph), styles["BodyText"]) for paragraph in text.split("\n\n")]
    SimpleDocTemplate(out, title=title, author="Ann Lee", pageCompression=0).build(story)
    return out.getvalue()


MAKERS: dict[str, Callable[[str, Sections], bytes]] = {
    ".md": as_markdown,
    ".txt": as_text,
    ".html": as_html,
    ".docx": as_docx,
    ".epub": as_epub,
    ".pdf": as_pdf,
}
