"""The page: the library, a conversation with checked citations, and the articles beside it; behind it the other tabs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.readers import SUFFIXES
from rag.assistant import MOST_QUESTION_CHARACTERS
from ui.about_tab import add_about_tab
from ui.endpoints import Endpoints, explained_to_the_page
from ui.examination_tab import add_examination_tab
from ui.progress import say
from ui.service import Service
from ui.serving import Serving, launch_options
from ui.sheet import CSS

MOST_ASKERS = 40
"""Askers that are told their place; more wait for one."""
MOST_UPLOAD = 25
"""Megabytes of an uploaded file."""
_HERE = Path(__file__).parent


def build(service: Service) -> Any:
    """Return the Gradio app: the chat is its first tab."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    shell = (_HERE / "page.html").read_text(encoding="utf-8")
    shell = shell.replace("{kinds}", ",".join(sorted(SUFFIXES))).replace("{megabytes}", str(MOST_UPLOAD))
    shell = shell.replace("{question}", str(MOST_QUESTION_CHARACTERS))
    with gradio.Blocks(
        title="Faqtual", analytics_enabled=False, fill_width=True, delete_cache=(600, 600)
    ) as app:
        _add_endpoints(Endpoints(service, app.upload_file_set))
        with gradio.Tabs(elem_id="tabs"):
            with gradio.Tab("Chat", elem_id="chat-tab"):
                gradio.HTML(
                    shell, elem_id="faqtual", js_on_load="faqtual.start(element)", apply_default_css=False
                )
            add_examination_tab(service)
            add_about_tab(service)
    return app


def _add_endpoints(endpoints: Endpoints) -> None:
    """Let the script call what it calls, before any tab takes one of the names: Gradio would then give another."""
    import gradio

    hidden: Any = {"api_visibility": "undocumented"}  # they are the script's alone
    for name in ("ask", "add", "bundled"):
        gradio.api(getattr(endpoints, name), api_name=name, concurrency_limit=MOST_ASKERS, **hidden)
    for name in "stop conversation welcome shelf reading remove undo feedback export".split():
        gradio.api(explained_to_the_page(getattr(endpoints, name)), api_name=name, queue=False, **hidden)


def head() -> str:
    """Return style and behaviour as they go into the page; Gradio would rewrite what it is given as ``css``."""
    names = ("colours.css", "page.css", "page.js")
    colours, style, script = ((_HERE / name).read_text(encoding="utf-8") for name in names)
    return f"<style>{colours}{style}</style><script>{script}</script>"


def serve(service: Service, where: Serving, private: Sequence[Path] = ()) -> None:
    """Show the page until interrupted; ``private`` are files that it never serves, nor the library's."""
    import gradio

    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    app = build(service)
    app.queue(default_concurrency_limit=MOST_ASKERS)
    _, address, _ = app.launch(
        **launch_options(where, [service.folder, *private]),
        css=CSS,
        head=head(),
        theme=theme,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        max_file_size=f"{MOST_UPLOAD}mb",
        max_threads=2 * MOST_ASKERS,
    )
    say(f"Faqtual is at {address} (Ctrl-C ends it)")
    service.warm_up()
    app.block_thread()
