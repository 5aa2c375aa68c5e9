"""HTML -> Document: what every marked-up format goes through (web pages, Markdown, DOCX, EPUB).

Knows nothing about files or addresses.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

from corpus.article import Faq
from corpus.blocks import Block, Document, clean
from corpus.errors import ArticleError
from corpus.hidden import drop_hidden

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form header hgroup hr html li main menu nav ol p pre section summary table tbody td tfoot th "
    "thead ul".split()
)
_SKIPPED = frozenset(
    "button head iframe nav noscript object script select style svg template textarea title".split()
)
_BOLD = frozenset({"b", "strong"})
_BESIDES = "//nav|//aside|//footer|//form|//header[not(.//h1)]"
_MAIN = "//article|//main|//*[@role='main']"
_SITE = re.compile(r"\s+[|–—·»-]\s+")
_LEAST_SHARE = 0.6  # of the words in a page's only <article> or <main>, that the main text must have kept


def read_markup(text: str, name: str) -> Document:
    """Read HTML that is all body, as a converter or a book gives it; ``name`` is for messages."""
    root = _parse(text, name)
    faqs = tuple(_take_faqs(root))
    drop_hidden(root)
    return Document(tuple(_blocks(root)), faqs, title=clean(root.findtext(".//title") or ""))


def read_page(text: str, name: str, url: str = "") -> Document:
    """Read a web page: its main text, its FAQ, title, author, date and canonical address."""
    root = _parse(text, name)
    faqs = tuple(_take_faqs(root))  # first: an answer is often hidden until its question is clicked
    drop_hidden(root)
    for button in root.xpath(
        "//*[self::h1 or self::h2 or self::h3 or self::h4 or self::h5 or self::h6]//button"
    ):
        button.tag = "span"  # an accordion's question; buttons elsewhere are controls
    named = clean(root.findtext(".//title") or "")
    tops = [_text(heading) for heading in root.xpath("//main//h1|//article//h1")]
    blocks, found = _main_text(root, url)
    headings = tops + [block.text for block in blocks if block.level in (1, 2)][:3]
    if found is None:
        return Document(tuple(blocks), faqs, title=_title(headings, named, ""))
    return Document(
        tuple(blocks),
        faqs,
        title=_title(headings, named, clean(found.title or "")),
        author=clean(found.author or ""),
        date=found.date or "",
        url=_web_address(found.url),
    )


def _title(headings: list[str], named: str, found: str) -> str:
    """The first heading that the page's <title> names as well; else that <title>, or else the first heading."""
    own = [heading for heading in headings if heading and heading.casefold() in named.casefold()]
    return (own or [_SITE.split(named)[0]])[0] or next(filter(None, headings), found)


def _parse(text: str, name: str) -> Any:
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = html.document_fromstring(text.encode("utf-8", errors="replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):  # nothing but white space or comments
        return html.document_fromstring("<p></p>")
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise ArticleError(f"{name}: its elements are nested too deeply; save the page as text and add that")
    return root


def _main_text(root: Any, url: str) -> tuple[list[Block], Any]:
    """Return the blocks of a page's main text and trafilatura's findings (None where it has none)."""
    from trafilatura import bare_extraction

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        found: Any = bare_extraction(
            root,
            url=url or None,
            favor_recall=True,
            include_comments=False,
            include_formatting=True,  # bold questions are told by it
            with_metadata=True,
            date_extraction_params={"original_date": True, "extensive_search": False},
        )
    except Exception:  # its many rules fail in many ways on broken pages: then the whole page is the text
        found = None
    blocks = list(_blocks(_as_html(found.body))) if found is not None and found.body is not None else []
    for besides in root.xpath(_BESIDES):
        _remove(besides)
    mains = root.xpath(_MAIN)
    whole = list(_blocks(mains[0] if len(mains) == 1 else root))
    enough = len(mains) != 1 or _words(blocks) >= _LEAST_SHARE * _words(whole)
    return (blocks if blocks and enough else whole), found


def _words(blocks: list[Block]) -> int:
    return sum(len(block.text.split()) for block in blocks)


_TEI = {
    "item": "li",
    "row": "tr",
    "cell": "td",
    "lb": "br",
    "quote": "blockquote",
    "list": "ul",
    "code": "pre",
}


def _as_html(body: Any) -> Any:
    """Rename trafilatura's TEI elements to HTML's."""
    for element in body.iter():
        if element.tag == "head":
            element.tag = element.get("rend") if element.get("rend") in _HEADINGS else "h3"
        elif element.tag == "hi":
            element.tag = "b" if element.get("rend") == "#b" else "span"
        elif element.tag == "code" and "\n" not in (element.text or "") and not len(element):
            continue  # within a line
        elif element.tag in _TEI:
            element.tag = _TEI[element.tag]
    return body


def _web_address(url: str | None) -> str:
    return url if url and url.lower().startswith(("http://", "https://")) else ""


# elements -> blocks


def _blocks(root: Any) -> Iterator[Block]:
    walker = _Walker()
    walker.walk(root)
    walker.flush()
    return iter(walker.blocks)


def _text(element: Any) -> str:
    return " ".join(block.text for block in _blocks(element))


class _Walker:
    """Collects the blocks below an element; a tree is at most 256 elements deep, so it may recurse."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._parts: list[str] = []
        self._level = 0
        self._item = 0
        self._bold = True

    def flush(self) -> None:
        """End the block that is being collected."""
        text = clean("".join(self._parts)).rstrip("¶#").rstrip()
        if text:
            self.blocks.append(Block(text, self._level, self._bold and not self._level, self._item > 0))
        self._parts, self._bold = [], True

    def _say(self, text: str | None, bold: bool) -> None:
        if text:
            self._parts.append(text)
            self._bold = self._bold and (bold or not text.strip())

    def walk(self, element: Any, bold: bool = False) -> None:
        """Collect an element without its tail."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _SKIPPED:
            return
        if tag == "br" and not self._level:
            self.flush()
        elif tag == "pre":
            self._lines(element)
        elif tag == "tr" and self._row(element):
            return
        elif tag in _HEADINGS and not self._level:
            self._heading(element, _HEADINGS[tag])
        else:
            self._inside(element, bold or tag in _BOLD or tag in ("dt", "summary"))

    def _inside(self, element: Any, bold: bool) -> None:
        apart = not self._level and (element.tag in _BLOCKS or element.tag == "tr")
        if apart:
            self.flush()
        self._item += element.tag == "li"
        self._say(element.text if element.tag != "br" else " ", bold)
        for child in element:
            self.walk(child, bold)
            self._say(child.tail, bold)
            if self._level and child.tag in _BLOCKS:
                self._say(" ", bold)
        asked = element.tag in _BOLD and self._bold and "".join(self._parts).rstrip().endswith("?")
        if apart or (asked and not self._level):  # a question in bold, its answer after it
            self.flush()
        self._item -= element.tag == "li"

    def _heading(self, element: Any, level: int) -> None:
        self.flush()
        self._level = level
        self._inside(element, False)
        self.flush()
        self._level = 0

    def _lines(self, element: Any) -> None:
        self.flush()
        for line in "".join(element.itertext()).splitlines():
            self._say(line, False)
            self.flush()

    def _row(self, element: Any) -> bool:
        """Collect a row as one line; not a row that only lays a page out (one cell, or tables within)."""
        cells = [cell for cell in element if cell.tag in ("td", "th")]
        if any(cell.find(".//table") is not None for cell in cells):
            return False
        texts = [_text(cell) for cell in cells]
        if sum(map(bool, texts)) < 2:
            return False
        self.flush()
        self._say(" | ".join(texts), False)
        self.flush()
        return True


# FAQs that the markup names


def _take_faqs(root: Any) -> Iterator[Faq]:
    """Yield the questions that JSON-LD, microdata, details and definition lists mark; take them out of the tree."""
    for script in root.xpath("//script[contains(@type, 'ld+json')]"):
        yield from _json_ld(script.text or "")
    for item in root.xpath("//*[contains(@itemtype, 'schema.org/Question')]"):
        yield from _taken([item], item.xpath(".//*[@itemprop='name']"), item.xpath(".//*[@itemprop='text']"))
    for details in root.xpath("//details[summary]"):
        summary = details.find("summary")
        yield from _taken([details], [summary], [e for e in details if e is not summary], summary.tail)
    for term in root.xpath("//dl//dt"):
        answers = _definitions(term)
        yield from _taken([term, *answers], [term], answers)


def _taken(whole: list[Any], names: list[Any], answers: list[Any], more: str | None = "") -> Iterator[Faq]:
    """Yield the question and answer of these elements and take them out, if it is a question with an answer."""
    question = _text(names[0]) if names else ""
    texts = [clean(more or ""), *(block.text for element in answers for block in _blocks(element))]
    texts += [clean(element.tail or "") for element in answers if element.getparent() in whole]
    answer = "\n".join(text for text in texts if text)
    if not question.endswith("?") or not answer:
        return
    for element in whole:
        _remove(element)
    yield Faq(question, answer)


def _definitions(term: Any) -> list[Any]:
    found = []
    for element in term.itersiblings():
        if element.tag != "dd":
            break
        found.append(element)
    return found


def _json_ld(text: str) -> Iterator[Faq]:
    try:
        pending = [json.loads(text, strict=False)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop(0)
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(
                value[key] for key in ("@graph", "mainEntity", "hasPart", "subjectOf") if key in value
            )
            if "Question" in _listed(value.get("@type")):
                yield from _json_question(value)


def _json_question(value: dict[str, Any]) -> Iterator[Faq]:
    question = _html_text(value.get("name"))
    answers = [a.get("text") for a in _listed(value.get("acceptedAnswer")) if isinstance(a, dict)]
    answer = "\n".join(filter(None, map(_html_text, answers)))
    if question and answer:
        yield Faq(question, answer)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _html_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        return ""
    return "\n".join(block.text for block in _blocks(_parse(value, "JSON-LD")))


def _remove(element: Any) -> None:
    """Empty an element; its tail stays."""
    element.clear(keep_tail=True)
    element.tag = "span"
