"""A sheet: HTML of tables, plots and cases inside a Gradio page, in the page's own colours, light and dark."""

from __future__ import annotations

from typing import Any

from evals.page import STYLE

_SHEET = """
.controls{align-items:flex-end;justify-content:flex-start}
.sheet{--line:var(--border-color-primary);--quiet:color-mix(in srgb,var(--body-text-color) 72%,transparent)}
.sheet{--good:#166c40;--bad:#b4232c;color:var(--body-text-color);line-height:1.5}
.dark .sheet{--good:#5fd39a;--bad:#ff9a9f}
.sheet{
p{margin:.3rem 0;max-width:70ch}h3{font-size:1rem;font-weight:600;margin:1.2rem 0 .4rem}table,table.scroll{margin:.4rem 0 1rem}
.bar{height:.5rem;border-radius:.25rem;overflow:hidden;background:var(--border-color-primary)}
.bar div{height:100%;background:var(--color-accent);transition:width .3s}
[role=status]{min-height:1.5rem}[role=alert]{color:var(--bad)}
:is(summary,table,button):focus-visible{outline:2px solid var(--color-accent);outline-offset:2px;border-radius:4px}
"""
_TABLES = """
.facts td{text-align:left;overflow-wrap:anywhere}.facts th{white-space:nowrap;color:var(--quiet);padding-right:2rem}
.beside{display:flex;flex-wrap:wrap;gap:0 5rem}a{color:inherit;text-decoration:underline}
.cite{font-size:.85rem;line-height:1.7rem;text-decoration:underline;text-underline-offset:3px;color:var(--color-accent)}
.cite.on{font-weight:600}b:has(+.cite){margin-right:.5rem}.note{font-size:.85rem;color:var(--quiet)}
"""
QUIETLY = {"api_visibility": "private", "show_progress": "hidden"}
"""For events: nobody calls them by name, and no spinner covers what they change."""
CSS = f"{_SHEET}{STYLE}{_TABLES}}}"
"""What the page's ``css`` has to hold for sheets."""


def sheet(html: str = "") -> Any:
    """Return a ``gradio.HTML`` that looks like the rest; whoever writes ``html`` escapes what is not markup."""
    import gradio

    look = {"elem_classes": "sheet", "apply_default_css": False, "js_on_load": None}
    return gradio.HTML(html, visible=bool(html), **look)


def filled(html: str) -> Any:
    """Return what an event gives a sheet to show; an empty one takes no room."""
    import gradio

    return gradio.update(value=html, visible=bool(html))
