"""Markdown with front matter -> Document, through HTML: marks, link targets and images are left out."""

from __future__ import annotations

import re
from dataclasses import replace

from corpus.blocks import Document, clean
from corpus.html import read_markup

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def read_markdown(text: str, name: str) -> Document:
    """Read CommonMark with tables and raw HTML; ``name`` is for messages."""
    from markdown_it import MarkdownIt

    meta: dict[str, str] = {}
    if front := _FRONT_MATTER.match(text):
        meta = _front_matter(front.group(1))
        text = text[front.end() :]
    document = read_markup(MarkdownIt("commonmark").enable("table").render(text), name)
    return replace(
        document,
        title=meta.get("title", ""),
        author=meta.get("author", ""),
        date=meta.get("date", ""),
        url=meta.get("canonical_url") or meta.get("url", ""),
    )


def _front_matter(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\n") if not line.startswith((" ", "\t", "#")))
    return {key.strip().lower(): clean(value).strip("\"'") for key, colon, value in pairs if colon}
