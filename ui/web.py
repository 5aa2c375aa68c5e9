"""The page: a conversation with checked citations, and the articles beside it. Who may reach it is ui/serving.py's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpus.article import Article
from corpus.errors import RagError, Stopped
from rag.answer import Answer
from rag.assistant import MOST_QUESTION_CHARACTERS, Assistant
from rag.turns import Turns
from ui.about_tab import add_about_tab
from ui.answer_log import AnswerLog
from ui.examination_tab import add_examination_tab
from ui.markup import Exchange, articles_html, conversation_html
from ui.serving import Serving, launch_options
from ui.sheet import CSS

MOST_ASKERS = 40
"""Askers that are told their place; more wait for one."""
_STYLE = Path(__file__).with_name("page.css")
_STARTERS = 4
_NOTHING_READ = '<p class="empty">The articles that an answer cites are shown here, its quotes marked.</p>'
Shown = tuple[str, str, str, list[Exchange]]
"""What an event shows: the question's box, the conversation, the articles beside it, and what is kept of it."""


class Chat:
    """Answers one question at a time, in the order in which they come, and draws the conversation."""

    def __init__(self, assistant: Assistant, turns: Turns, answers: AnswerLog) -> None:
        self._assistant = assistant
        self._turns = turns
        self._answers = answers
        self._answered: Exchange | None = None  # the one whose turn it is

    def ask(self, question: str, chosen: Sequence[str], before: list[Exchange]) -> Iterator[Shown]:
        """Yield the conversation as a question's answer comes; ``chosen`` are the ids of the articles to search."""
        exchange = Exchange(question)
        try:
            with self._turns.take() as turn:
                for ahead in turn.places():
                    yield self.shown(
                        [*before, replace(exchange, notice=f"{ahead} before you in the queue...")]
                    )
                yield self.shown([*before, replace(exchange, notice="Searching and reading the articles...")])
                for value in self._assistant.stream(
                    question, previous=_standalone(before), article_ids=self._among(chosen)
                ):
                    if isinstance(value, Answer):
                        self._answers.add(value)
                        exchange = replace(exchange, answer=value)
                    else:
                        exchange = replace(exchange, sentences=(*exchange.sentences, value))
                    self._answered = exchange
                    yield self.shown([*before, exchange])
        except Stopped:
            yield self.shown([*before, replace(exchange, notice="Stopped.")])
        except RagError as error:
            yield self.shown([*before, replace(exchange, notice=str(error))])

    def stop(self, exchanges: list[Exchange]) -> Shown:
        """End the answer that a conversation waits for, at once if the model is at it."""
        if exchanges and exchanges[-1].answer is None:
            if exchanges[-1] == self._answered:
                self._assistant.stop()
            exchanges = [*exchanges[:-1], replace(exchanges[-1], notice="Stopped.")]
        return self.shown(exchanges)

    def _among(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """The articles to search: none named means all, as long as all are chosen."""
        known = {listing.id for listing in self._assistant.library.listings()}
        among = tuple(identity for identity in chosen if identity in known)
        return () if len(among) in (0, len(known)) else among

    def shown(self, exchanges: list[Exchange]) -> Shown:
        """Return a conversation as the page has it."""
        cited = {p.article_id for one in exchanges if one.answer for p in one.answer.passages}
        articles = {identity: article for identity in cited if (article := self._article(identity))}
        read = articles_html(exchanges, articles) or _NOTHING_READ
        page = f'<div class="reading" role="region" aria-label="Articles" tabindex="0">{read}</div>'
        return "", conversation_html(exchanges), page, exchanges

    def _article(self, identity: str) -> Article | None:
        try:
            return self._assistant.library.article(identity)
        except RagError:  # removed since it was cited
            return None


def _standalone(exchanges: Sequence[Exchange]) -> list[str]:
    return [one.answer.standalone_question for one in exchanges if one.answer]


def starters(assistant: Assistant) -> list[str]:
    """Return the first question of the FAQ of each of the first articles."""
    listings = assistant.library.listings()
    faqs = (assistant.library.article(one.id).faqs for one in listings[:_STARTERS] if one.faq)
    return [faq[0].question[:MOST_QUESTION_CHARACTERS] for faq in faqs]


def build(assistant: Assistant) -> Any:
    """Return the Gradio app."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    turns, answers = Turns(), AnswerLog()
    chat = Chat(assistant, turns, answers)
    plain = {"apply_default_css": False, "js_on_load": None}
    private: Any = {"api_visibility": "private", "show_progress": "hidden"}
    choices = [(one.title, one.id) for one in assistant.library.listings()]
    with gradio.Blocks(title="Faqtual", analytics_enabled=False) as app:
        gradio.Markdown("# Faqtual\nAnswers from your articles; every sentence is checked against its quote.")
        with gradio.Tabs():
            with gradio.Tab("Chat", id="chat"):
                kept = gradio.State([])
                _, conversation, articles, _ = chat.shown([])
                with gradio.Row(elem_classes="beside"):
                    with gradio.Column(scale=3, min_width=340):
                        talk = gradio.HTML(conversation, **plain)
                        question = gradio.Textbox(
                            label="Question",
                            placeholder="Ask about the articles",
                            max_length=MOST_QUESTION_CHARACTERS,
                            submit_btn="Ask",
                        )
                        with gradio.Row():
                            stop = gradio.Button("Stop", size="sm")
                            retry = gradio.Button("Ask again", size="sm")
                            fresh = gradio.Button("New conversation", size="sm")
                        with gradio.Row(elem_classes="starters"):
                            offers = [gradio.Button(one, size="sm") for one in starters(assistant)]
                        with gradio.Accordion("Articles to answer from", open=False):
                            chosen = gradio.CheckboxGroup(
                                choices, value=[identity for _, identity in choices], show_label=False
                            )
                    with gradio.Column(scale=2, min_width=340):
                        page = gradio.HTML(articles, **plain)
                inputs, outputs = [question, chosen, kept], [question, talk, page, kept]

                def again(chosen: list[str], before: list[Exchange]) -> Iterator[Shown]:
                    if before:
                        yield from chat.ask(before[-1].question, chosen, before[:-1])

                asking = [question.submit(chat.ask, inputs, outputs, **private)]
                asking.append(retry.click(again, [chosen, kept], outputs, **private))
                for offer in offers:
                    asking.append(offer.click(chat.ask, [offer, chosen, kept], outputs, **private))
                stop.click(chat.stop, kept, outputs, cancels=asking, queue=False, **private)
                fresh.click(lambda: chat.shown([]), None, outputs, **private)
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
    app.launch(
        **options, css=_STYLE.read_text(encoding="utf-8") + CSS, theme=theme, quiet=False, show_error=False
    )
