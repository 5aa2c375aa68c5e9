"""Pieces of HTML. All that comes from articles, people and the model goes through ``text`` or ``attribute``."""

from __future__ import annotations

import re
from html import escape

_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plain(value: str) -> str:
    """Return text escaped, its control characters replaced one for one, so that offsets stay true."""
    return escape(_UNSEEN.sub("\ufffd", value))


def text(value: str) -> str:
    """Return a run of text escaped and isolated: its direction marks do not reach what stands around it."""
    return f"<bdi>{plain(value)}</bdi>"


def attribute(value: str) -> str:
    """Return text for an attribute between double quotes."""
    return plain(value)


def icon(name: str) -> str:
    """Return one of the drawings in page.html."""
    return f'<svg class="icon" aria-hidden="true"><use href="#i-{name}"></use></svg>'


def button(action: str, label: str, drawing: str, **data: str) -> str:
    """Return a button that shows a drawing, named by its label; page.js does its ``action``."""
    values = "".join(f' data-{key}="{attribute(value)}"' for key, value in data.items())
    return (
        f'<button type="button" class="tool" data-do="{action}"{values} aria-label="{attribute(label)}"'
        f' title="{attribute(label)}">{icon(drawing)}</button>'
    )
