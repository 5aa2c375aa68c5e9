"""A feed or sitemap -> the addresses it lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from corpus.errors import ArticleError
from corpus.fetch import BY_HAND, absolute, is_url, one_line, unpacked

MOST_LINKS = 1000
_LISTS = {  # root element -> the element of an entry, and the element of its address
    "rss": ("item", "link"),
    "RDF": ("item", "link"),
    "feed": ("entry", "link"),
    "urlset": ("url", "loc"),
    "sitemapindex": ("sitemap", "loc"),
}


@dataclass(frozen=True, slots=True)
class Links:
    """The absolute addresses that a feed or sitemap lists: of articles, or of further sitemaps."""

    articles: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()


def listed_links(data: bytes, url: str) -> Links | None:
    """Return what an RSS or Atom feed, a sitemap or a sitemap index from ``url`` lists; None for any other page.

    In the order of the document without repeats, at most MOST_LINKS. Raises ArticleError if the page is
    damaged, unpacks to more than MOST_BYTES or declares XML entities.
    """
    name = one_line(url)
    packed = data.startswith(b"\x1f\x8b")
    root = _list_root(unpacked(data, "gzip", name) if packed else data, name)
    if root is None:
        return None
    kind = _kind(root)
    entry, tag = _LISTS[kind]
    found = (absolute(url, _address(element, tag)) for element in root.iter(f"{{*}}{entry}"))
    links = tuple(dict.fromkeys(link for link in found if is_url(link)))[:MOST_LINKS]
    return Links(sitemaps=links) if kind == "sitemapindex" else Links(articles=links)


def _list_root(data: bytes, name: str) -> Any:
    """Parse a feed or sitemap without entities or outside documents; None if it is neither."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        root = etree.fromstring(data.lstrip(), parser=parser)
    except (etree.LxmlError, ValueError):
        return None
    doctype = root.getroottree().docinfo.internalDTD if root is not None else None
    if doctype is not None and next(doctype.iterentities(), None) is not None:
        raise ArticleError(f"{name}: declares XML entities, which are not read; {BY_HAND}")
    if _kind(root) not in _LISTS:
        return None
    if faults := [fault for fault in parser.error_log if fault.level_name == "FATAL"]:
        # A recovered tree tells the kind of a list, but its addresses may have lost characters.
        raise ArticleError(
            f"{name}: damaged XML in line {faults[0].line}; add the addresses that it lists one by one"
        )
    return root


def _kind(root: Any) -> str:
    return str(root.tag).rpartition("}")[2] if root is not None else ""


def _address(entry: Any, tag: str) -> str:
    """The address of a feed's or sitemap's entry; empty if it gives none."""
    for link in entry.iterchildren(f"{{*}}{tag}"):
        found = (link.text or link.get("href", "")).strip()
        if found and link.get("rel", "alternate") == "alternate":
            return str(found)
    guid = entry.find("guid")
    is_link = guid is not None and guid.get("isPermaLink", "true") == "true"
    return (guid.text or "").strip() if is_link else ""
