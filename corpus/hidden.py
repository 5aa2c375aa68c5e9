"""What a page holds but does not show: taken out of its elements before they become text.

Knows the attributes, the style attribute and the simple rules (one tag, class or id) of the page's own stylesheets. Not
scripts, stylesheets elsewhere, or one element laid over another: for those a browser would have to draw the page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

Style = dict[str, str]
"""Properties and their values, in lower case."""

_NO_TEXT = frozenset("audio canvas embed iframe noscript object svg template video".split())
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AT_RULE = re.compile(r"@[^{};]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SIMPLE = re.compile(r"^(?:[a-z][\w-]*|[.#][\w-]+)$")
_NAMED = re.compile(r"[.#][\w-]+")
_NOTHING = re.compile(r"^[+-]?0*\.?0*(?:px|r?em|ex|ch|pt|pc|cm|mm|in|q|vw|vh|%)?$")
_AWAY = re.compile(r"^-(?:\d{4,}|[1-9]\d{2,}(?:\.\d+)?(?:%|r?em|v[wh]))")
_CLIPPED = re.compile(
    r"^rect\(\s*(?:[01](?:px)?[\s,]+){3}[01](?:px)?\s*\)$|^inset\(\s*(?:50|100)%.*\)$|^circle\(\s*0"
)
_SCALED = re.compile(r"\bscale\(\s*0*\.?0*\s*[,)]")
_CLEAR = re.compile(r"^transparent$|^rgba\([^)]*,\s*0*\.?0+%?\s*\)$|^rgb\([^)]*/\s*0*\.?0+%?\s*\)$")
_WHITE = re.compile(
    r"^(?:white|#f{3,4}|#f{6}(?:ff)?|rgba?\(\s*255\s*,\s*255\s*,\s*255\s*(?:,\s*1(?:\.0+)?\s*)?\))$"
)
_SIZED = ("height", "max-height", "width", "max-width")


def drop_hidden(root: Any) -> None:
    """Take the elements out of a tree that a reader of the page does not see; what follows each stays."""
    rules = dict(_hiding_rules(root))
    for element in list(root.iter()):
        if isinstance(element.tag, str) and (element.tag in _NO_TEXT or _is_hidden(element, rules)):
            tail = element.tail
            element.clear()
            element.tag, element.tail = "span", tail


def _is_hidden(element: Any, rules: dict[str, Style]) -> bool:
    if element.tag in ("html", "body"):
        return False  # shown by a script when the page has loaded
    if "hidden" in element.attrib or element.get("aria-hidden", "").strip().lower() == "true":
        return True
    style = _style_of(element, rules)
    return hides(style) or (_has_text(element) and _blends_in(element, style, rules))


def hides(style: Style) -> bool:
    """Whether an element of this style shows nothing."""
    return (
        style.get("display") == "none"
        or style.get("visibility") in ("hidden", "collapse")
        or _is_nothing(style.get("opacity"))
        or _is_nothing(style.get("font-size"))
        or (style.get("overflow") in ("hidden", "clip") and any(_is_nothing(style.get(s)) for s in _SIZED))
        or any(_AWAY.match(style.get(side, "")) for side in ("left", "top", "right", "bottom", "text-indent"))
        or any(_CLIPPED.match(style.get(how, "")) for how in ("clip", "clip-path"))
        or bool(_SCALED.search(style.get("transform", "")))
        or bool(_CLEAR.match(style.get("color", "")))
    )


def _is_nothing(value: str | None) -> bool:
    return bool(value) and bool(_NOTHING.match(value or ""))


def _has_text(element: Any) -> bool:
    return any(text.strip() for text in element.itertext())


def _blends_in(element: Any, style: Style, rules: dict[str, Style]) -> bool:
    """Whether text has the colour of its ground, which is white where nothing around it gives another."""
    colour = style.get("color", "")
    if not colour:
        return False
    for around in (element, *element.iterancestors()):
        given = style if around is element else _style_of(around, rules)
        ground = given.get("background-color") or given.get("background") or ""
        if ground and not _CLEAR.match(ground):
            return ground == colour or bool(_WHITE.match(ground) and _WHITE.match(colour))
        if around is not element and around.get("class"):
            return False  # its ground may come from a stylesheet elsewhere
    return bool(_WHITE.match(colour))


def _style_of(element: Any, rules: dict[str, Style]) -> Style:
    names = [element.tag, *(f".{name}" for name in element.get("class", "").split())]
    names += [f"#{element.get('id')}"] if element.get("id") else []
    style: Style = {}
    for name in names:
        style |= rules.get(name, {})
    colours = {"color": element.get("color"), "background-color": element.get("bgcolor")}
    style |= {key: value.strip().lower() for key, value in colours.items() if value}
    return style | _declared(element.get("style", ""))


def _hiding_rules(root: Any) -> Iterator[tuple[str, Style]]:
    """Yield the selectors of one class, id or tag whose elements are hidden, and that no other rule speaks of.

    What another rule names as well, such as an open tab, may be shown by it.
    """
    sheet = _COMMENT.sub(" ", "\n".join(style.text or "" for style in root.iter("style")))
    named = Counter(name for selectors, _ in _RULE.findall(sheet) for name in _NAMED.findall(selectors))
    for selectors, body in _RULE.findall(_AT_RULE.sub(" ", sheet)):  # @media print hides what a screen shows
        style = _declared(body)
        for selector in map(str.strip, selectors.split(",")):
            if _SIMPLE.match(selector) and named[selector] <= 1 and hides(style):
                yield selector, style


def _declared(text: str) -> Style:
    pairs = (pair.partition(":") for pair in _COMMENT.sub(" ", text).split(";"))
    return {
        name.strip().lower(): value.lower().replace("!important", "").strip()
        for name, colon, value in pairs
        if colon
    }
