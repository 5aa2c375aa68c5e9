"""The page: a conversation with checked citations, and the passages beside it. Who may reach it is ui/serving.py's."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import RagError
from rag.answer import Answer, Passage
from rag.assistant import MOST_QUESTION_CHARACTERS, Assistant
from rag.highlight import highlighted
from rag.turns import Turns
from ui.about_tab import add_about_tab
from ui.answer_log import AnswerLog
from ui.examination_tab import add_examination_tab
from ui.serving import Serving, launch_options
from ui.sheet import CSS

MOST_ASKERS = 40
"""Askers that are told their place; more wait for one."""
_CSS = """
.passage {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .6rem .8rem; margin: .5rem 0}
.passage h4 {margin: 0 0 .3rem; font-size: .95rem} .passage p {margin: 0; white-space: pre-wrap; overflow-wrap: anywhere}
mark {background: #ffe58a; color: #222; padding: 0 .1em}
"""


def passages_html(answer: Answer) -> str:
    """Return an answer's passages, quotes highlighted, as HTML in which all article text is escaped."""
    shown = [p for p in answer.passages if p.cited] or list(answer.passages[:3])
    title = "Sources" if answer.status == "answered" else "Nearest passages"
    return f"<h3>{title}</h3>" + "".join(map(_passage_html, shown))


def _passage_html(passage: Passage) -> str:
    place = f"[{passage.number}] {html.escape(passage.place)}"
    return f'<div class="passage"><h4>{place}</h4><p>{highlighted(passage)}</p></div>'


def build(assistant: Assistant) -> Any:
    """Return the Gradio app; it answers one question at a time, in the order in which they come."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    turns, answers = Turns(), AnswerLog()

    def answer(
        question: str, history: list[dict[str, str]], previous: list[str]
    ) -> Iterator[tuple[Any, ...]]:
        history = [*history, {"role": "user", "content": html.escape(question)}]
        reply = {"role": "assistant", "content": "Searching the articles..."}
        try:
            with turns.take() as turn:
                for before in turn.places():
                    waiting = f"{before} before you in the queue..."
                    yield "", [*history, reply | {"content": waiting}], previous, ""
                yield "", [*history, reply], previous, ""
                texts: list[str] = []
                for value in assistant.stream(question, previous=previous):
                    if isinstance(value, Answer):
                        answers.add(value)
                        texts = [html.escape(value.answer)]
                        panel, previous = passages_html(value), [*previous, value.standalone_question]
                    else:
                        texts.append(html.escape(value.with_markers))
                        panel = ""
                    yield "", [*history, reply | {"content": " ".join(texts)}], previous, panel
        except RagError as error:
            yield "", [*history, reply | {"content": html.escape(str(error))}], previous, ""

    with gradio.Blocks(title="Faqtual", analytics_enabled=False) as app:
        gradio.Markdown("# Faqtual\nAnswers from your articles; every sentence is checked against its quote.")
        with gradio.Tabs():
            with gradio.Tab("Chat", id="chat"):
                previous = gradio.State([])
                with gradio.Row():
                    with gradio.Column(scale=3):
                        chat = gradio.Chatbot(
                            label="Conversation",
                            height=480,
                            render_markdown=False,
                            sanitize_html=True,
                            buttons=["copy"],
                        )
                        question = gradio.Textbox(
                            label="Question",
                            placeholder="Ask about the articles",
                            max_length=MOST_QUESTION_CHARACTERS,
                        )
                        with gradio.Row():
                            stop = gradio.Button("Stop")
                            fresh = gradio.Button("New conversation")
                    panel = gradio.HTML(scale=2)
                asking = question.submit(
                    answer, [question, chat, previous], [question, chat, previous, panel]
                )
                stop.click(None, cancels=[asking])
                fresh.click(lambda: ([], [], ""), None, [chat, previous, panel])
            add_examination_tab(lambda: assistant, turns, assistant.library.folder)
            add_about_tab(lambda: assistant, turns, assistant.library.folder, answers)
    return app


def serve(assistant: Assistant, where: Serving, private: Sequence[Path] = ()) -> None:
    """Show the page until interrupted; ``private`` are files that it never serves, nor the library's."""
    import gradio

    fonts = ["system-ui", "sans-serif"]
    theme = gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"])
    app = build(assistant)
    app.queue(default_concurrency_limit=MOST_ASKERS)
    options = launch_options(where, [assistant.library.folder, *private])
    app.launch(**options, css=_CSS + CSS, theme=theme, quiet=False, show_error=False)
