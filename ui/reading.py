"""An article as the reader shows it: its whole text, with the cited spans marked by their offsets alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from corpus.article import Article
from corpus.fetch import is_url
from ui.markup import plain, text

Span = tuple[int, int]
_BLOCK = re.compile(r"[^\n](?:[^\n]|\n(?!\n))*")


def article_html(article: Article, spans: Sequence[Span] = ()) -> str:
    """Return an article with ``spans`` of its text marked; the marks of a span hold its text and nothing else.

    What lies outside the text is not marked. All that the article says is escaped.
    """
    headings = {
        (section.start - 2 - len(section.heading), section.start - 2)
        for section in article.sections
        if section.heading
    }
    known = sorted({span for span in spans if 0 <= span[0] < span[1] <= len(article.text)})
    blocks = "".join(
        _block(article.text, block.span(), known, block.span() in headings)
        for block in _BLOCK.finditer(article.text)
    )
    about = " · ".join(
        text(part) for part in (article.author, article.date, place_of(article.source)) if part
    )
    return (
        f'<header><h2 id="reading-title" tabindex="-1">{text(article.title)}</h2><p class="about">{about}</p></header>'
        f'<div class="whole">{blocks}</div>'
    )


def place_of(source: str) -> str:
    """Return what a person calls an article's source: its address, or the name of its file."""
    return source if is_url(source) else PurePath(source).name


def _block(whole: str, block: Span, spans: Sequence[Span], heading: bool) -> str:
    name = "h3" if heading else "p"
    return f'<{name} dir="auto">{"".join(_runs(whole, block, spans))}</{name}>'


def _runs(whole: str, block: Span, spans: Sequence[Span]) -> Iterator[str]:
    """Yield a block's text, cut wherever a span begins or ends."""
    start, end = block
    near = [(a, b) for a, b in spans if a < end and b > start]
    cuts = sorted({start, end, *(cut for span in near for cut in span if start < cut < end)})
    for a, b in itertools.pairwise(cuts):
        run = plain(whole[a:b])
        names = " ".join(f"{s}-{e}" for s, e in near if s <= a and b <= e)
        yield f'<mark data-spans="{names}">{run}</mark>' if names else run
