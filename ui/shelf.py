"""The library as the page shows it: which articles there are, which of them answer, what they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from index.library import Library, Listing
from ui.markup import attribute, button, text
from ui.reading import place_of

MOST_ROWS = 200
MOST_SUGGESTIONS = 5
_ASKED_FOR_SUGGESTIONS = 12


def shelf_html(listings: Sequence[Listing], left_out: Iterable[str], wanted: str = "") -> str:
    """Return the articles whose title or source has ``wanted``, each with its check box."""
    out = set(left_out)
    found = [one for one in listings if wanted.casefold() in f"{one.title} {one.source}".casefold()]
    rows = "".join(_row(one, one.id not in out) for one in found[:MOST_ROWS])
    more = len(found) - MOST_ROWS
    if more > 0:
        rows += f'<li class="more">{more:,} more; narrow the filter to see them</li>'
    if listings and not found:
        rows = '<li class="more">No article matches the filter.</li>'
    return rows


def _row(listing: Listing, chosen: bool) -> str:
    name = attribute(listing.title)
    data = f'data-id="{attribute(listing.id)}"'
    asked = f"{listing.faq} FAQ · " if listing.faq else ""
    return (
        f'<li class="volume" {data}>'
        f'<input type="checkbox" data-do="choose" {data} aria-label="Answer from: {name}"{" checked" if chosen else ""}>'
        f'<button type="button" class="open" data-do="open" {data} title="Read {name}">'
        f'<span class="title">{text(listing.title)}</span>'
        f'<span class="about">{asked}{text(place_of(listing.source))}</span></button>'
        f"{button('remove', f'Remove {listing.title}', 'close', id=listing.id)}</li>"
    )


def suggestions(library: Library, chosen: Sequence[str]) -> list[str]:
    """Return questions from the FAQs of these articles, from as many of them as there are."""
    articles = [library.article(one).faqs for one in chosen[:_ASKED_FOR_SUGGESTIONS]]
    longest = max(map(len, articles), default=0)
    in_turn = [faqs[n].question for n in range(longest) for faqs in articles if n < len(faqs)]
    return list(dict.fromkeys(in_turn))[:MOST_SUGGESTIONS]
