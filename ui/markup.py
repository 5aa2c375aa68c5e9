"""A conversation as HTML, its citations as links into the articles beside it; everything from outside is escaped."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from corpus.article import Article
from rag.answer import Answer, Passage, Quote, Sentence
from rag.prompt import REFUSAL

_AROUND = 12_000  # characters of an article shown before its first quote and after its last
_SURE, _FAIR = 0.75, 0.4
_QUOTED = "Word for word from the article"
_WORDED = "In the model's words, checked against its quote"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what came of it so far: sentences, then the answer, or words in their place."""

    question: str
    sentences: tuple[Sentence, ...] = ()
    answer: Answer | None = None
    notice: str = ""


def conversation_html(exchanges: Sequence[Exchange]) -> str:
    """Return the conversation; a citation is a link to its quote in what ``articles_html`` gives."""
    turns = "".join(_exchange_html(number, exchange) for number, exchange in enumerate(exchanges, start=1))
    return f'<div class="talk" role="log" aria-live="polite" aria-label="Conversation">{turns}</div>'


def _exchange_html(number: int, exchange: Exchange) -> str:
    asked = f'<p class="asked"><bdi>{escape(exchange.question)}</bdi></p>'
    return f'<section class="turn">{asked}{_reply_html(number, exchange)}</section>'


def _reply_html(turn: int, exchange: Exchange) -> str:
    answer = exchange.answer
    if exchange.notice:
        return f'<p class="notice">{escape(exchange.notice)}</p>'
    if answer is None:
        return f'<p class="said">{" ".join(_sentence_html(turn, s, {}) for s in exchange.sentences)}</p>'
    follows = answer.standalone_question != answer.question
    understood = f"Understood as: <bdi>{escape(answer.standalone_question)}</bdi>" if follows else ""
    head = f'<p class="understood">{understood}</p>' if understood else ""
    if answer.status == "abstained":
        return head + _abstention_html(turn, answer)
    passages = {passage.number: passage for passage in answer.passages}
    said = " ".join(_sentence_html(turn, sentence, passages) for sentence in answer.sentences)
    conflict = '<p class="conflict">The articles do not agree: each side is shown with its source.</p>'
    sources = "".join(_source_html(turn, passage) for passage in answer.passages if passage.cited)
    return (
        f'{head}{conflict if answer.conflict else ""}<p class="said">{said}</p>'
        f'<ul class="sources" aria-label="Sources">{sources}</ul>{_confidence_html(answer.confidence)}'
    )


def _sentence_html(turn: int, sentence: Sentence, passages: Mapping[int, Passage]) -> str:
    title = _QUOTED if sentence.support == "quoted" else _WORDED
    chips = "".join(
        _chip_html(turn, passages[n]) if n in passages else f'<span class="chip">{n}</span>'
        for n in sentence.citations
    )
    text = f'<span class="{sentence.support}" title="{title}"><bdi>{escape(sentence.text)}</bdi></span>'
    return text + chips


def _chip_html(turn: int, passage: Passage) -> str:
    """A citation: its quote on hover and focus, and the way to it on a click."""
    quotes = " … ".join(quote.text for quote in passage.quotes)
    tip = f'<b>{escape(passage.place)}</b><span class="exact">{escape(quotes)}</span>'
    label = f"Citation {passage.number}: {escape(passage.place)}"
    return (
        f'<a class="chip" href="#{_anchor(turn, passage)}" aria-label="{label}">{passage.number}'
        f'<span class="tip" role="tooltip">{tip}</span></a>'
    )


def _source_html(turn: int, passage: Passage) -> str:
    place = f"<bdi>{escape(passage.place)}</bdi>"
    return f'<li><a href="#{_anchor(turn, passage)}">[{passage.number}] {place}</a></li>'


def _abstention_html(turn: int, answer: Answer) -> str:
    nearest = "".join(_source_html(turn, passage) for passage in answer.passages[:3])
    return (
        f'<div class="abstained"><p>{escape(REFUSAL)}</p><h4>Nearest passages</h4>'
        f'<ul class="sources">{nearest}</ul></div>'
    )


def _confidence_html(confidence: float) -> str:
    words = "Sure" if confidence >= _SURE else "Fairly sure" if confidence >= _FAIR else "Unsure"
    meaning = f"Of answers with this confidence, some {round(100 * confidence)} in 100 are right"
    return f'<p class="confidence" title="{meaning}">{words}: some {round(100 * confidence)} in 100 such answers are right.</p>'


def _anchor(turn: int, passage: Passage) -> str:
    return f"cited-{turn}-{passage.number}"


def articles_html(exchanges: Sequence[Exchange], articles: Mapping[str, Article]) -> str:
    """Return the articles that a conversation cites, or came near to, with the quotes marked; newest first."""
    places: dict[str, list[tuple[str, int, list[Quote]]]] = {}
    for turn, exchange in reversed(list(enumerate(exchanges, start=1))):
        for passage in _shown_passages(exchange.answer):
            start = passage.quotes[0].start if passage.quotes else passage.start
            place = (_anchor(turn, passage), start, list(passage.quotes))
            places.setdefault(passage.article_id, []).append(place)
    return "".join(_article_html(articles[i], found) for i, found in places.items() if i in articles)


def _shown_passages(answer: Answer | None) -> Sequence[Passage]:
    if answer is None:
        return ()
    return [p for p in answer.passages if p.cited] or answer.passages[:3]


def _article_html(article: Article, places: Sequence[tuple[str, int, list[Quote]]]) -> str:
    """An article's text, marked and with an anchor at each place; far from all of them it is left out."""
    anchors = {start: "" for _, start, _ in places}
    for name, start, _ in places:
        anchors[start] += f'<span class="anchor" id="{name}" tabindex="-1"></span>'
    quotes = [quote for _, _, found in places for quote in found]
    headings = _headings(article)
    first = max(0, min(anchors) - _AROUND)
    last = min(len(article.text), max([*anchors, *(quote.end for quote in quotes)]) + _AROUND)
    bounds = {
        first,
        last,
        *anchors,
        *itertools.chain(*headings.items()),
        *(q.start for q in quotes),
        *(q.end for q in quotes),
    }
    cuts = sorted(bound for bound in bounds if first <= bound <= last)
    parts = []
    for start, end in itertools.pairwise(cuts):
        text = escape(article.text[start:end])
        marked = any(quote.start <= start < quote.end for quote in quotes)
        if any(a <= start < b for a, b in headings.items()):
            text = f'<strong role="heading" aria-level="4">{text}</strong>'
        parts.append(anchors.get(start, "") + (f"<mark>{text}</mark>" if marked else text))
    return (
        f'<article class="read" aria-label="Article"><h3><bdi>{escape(article.title)}</bdi></h3>'
        f'<div class="text">{"".join(parts)}</div></article>'
    )


def _headings(article: Article) -> dict[int, int]:
    """Where the headings stand in an article's text: the end of each by its start."""
    found, before = {}, 0
    for section in article.sections:
        start = article.text.rfind(section.heading, before, section.start) if section.heading else -1
        if start >= 0:
            found[start] = start + len(section.heading)
        before = section.end
    return found
