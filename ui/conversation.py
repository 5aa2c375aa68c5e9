"""Exchanges as HTML: answers with their citations, abstentions, errors, and what an empty conversation offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag.answer import Answer, Passage, Quote, Sentence
from rag.prompt import REFUSAL
from ui.exchange import Exchange, shown_passages
from ui.export import answer_text, quote_behind
from ui.markup import attribute, button, text

_WORDS = ((0.85, "Very likely right"), (0.65, "Likely right"), (0.45, "Uncertain"), (0.0, "Very uncertain"))
_SNIPPET = 220


def confidence_words(confidence: float) -> str:
    """Return a calibrated confidence in words."""
    return next(words for least, words in _WORDS if confidence >= least)


def exchange_html(exchange: Exchange) -> str:
    """Return one question with what came of it."""
    key = attribute(exchange.key)
    return (
        f'<article class="turn" data-key="{key}"><h3 class="asked" dir="auto">{text(exchange.question)}</h3>'
        f"{_outcome(exchange)}</article>"
    )


def _outcome(exchange: Exchange) -> str:
    answer = exchange.answer
    if answer is None:
        return _broken_off(exchange)
    alone = ""
    if answer.standalone_question != answer.question:
        alone = f'<p class="alone">Asked as: {text(answer.standalone_question)}</p>'
    told = _abstention(answer) if answer.status == "abstained" else _answered(exchange.key, answer)
    return f"{alone}{told}{_actions(answer)}"


def _broken_off(exchange: Exchange) -> str:
    if exchange.error:
        told = f'<div class="card failed" role="alert"><p>{text(_sentence_case(exchange.error))}</p></div>'
    else:
        said = " ".join(text(one) for one in exchange.said)
        said = f'<p class="said">{said}</p>' if said else ""
        told = f'{said}<p class="stopped">You stopped this answer before its sources were listed.</p>'
    return f"{told}{_actions(None)}"


def _sentence_case(message: str) -> str:
    return message[:1].upper() + message[1:]


def _abstention(answer: Answer) -> str:
    nearest = "".join(map(_nearest, shown_passages(answer)))
    listed = f'<h4>Nearest passages</h4><ol class="nearest">{nearest}</ol>' if nearest else ""
    return (
        f'<section class="card abstained" aria-label="No answer"><p class="refusal">{REFUSAL}</p>'
        f'<p class="advice">Nothing here backs an answer well enough. Ask in other words, or add an article that'
        f" tells.</p>{listed}</section>"
    )


def _nearest(passage: Passage) -> str:
    cut = passage.text[:_SNIPPET].rstrip() + ("…" if len(passage.text) > _SNIPPET else "")
    return _source(passage, Quote(passage.start, passage.end, cut))


def _source(passage: Passage, quote: Quote, number: str = "") -> str:
    """A line of a list that opens the article at a quote."""
    return (
        f'<li><button type="button" class="source"{read_data(passage, quote.start, quote.end)}>{number}'
        f'<span class="title">{text(passage.place)}</span><span class="quote" dir="auto">{text(quote.text)}</span></button></li>'
    )


def read_data(passage: Passage, start: int, end: int) -> str:
    """Return the attributes by which page.js opens a passage's article at a quote, of an element that does that."""
    return f' data-do="read" data-article="{attribute(passage.article_id)}" data-start="{start}" data-end="{end}"'


def _answered(key: str, answer: Answer) -> str:
    cited = [
        sentence_html(sentence, _chip(f"{key}-{place}", quote_behind(answer, place)))
        for place, sentence in enumerate(answer.sentences)
    ]
    said = f'<p class="said" dir="auto">{" ".join(cited)}</p>'
    if answer.conflict:
        sides = "".join(f"<li>{side}</li>" for side in cited)
        said = (
            '<div class="conflict"><p class="note">The articles do not agree. Each side, with its source:</p>'
            f"<ul>{sides}</ul></div>"
        )
    return f"{said}{_confidence(key, answer)}{_sources(answer)}"


def sentence_html(sentence: Sentence, chip: str = "") -> str:
    """Return a sentence, one quoted word for word in quotation marks; ``chip`` is its citation."""
    said = text(sentence.text)
    if sentence.support == "quoted":
        return f'<span class="sentence"><q class="quoted" title="Word for word from the article">{said}</q>{chip}</span>'
    return f'<span class="sentence"><span class="worded">{said}</span>{chip}</span>'


def _chip(key: str, behind: tuple[Passage, Quote] | None) -> str:
    if behind is None:
        return ""
    passage, quote = behind
    place = read_data(passage, quote.start, quote.end)
    name = f"Source {passage.number}: {passage.title}. Opens the article at the quote."
    return (
        f'<button type="button" class="chip"{place} aria-label="{attribute(name)}"'
        f' aria-describedby="q-{attribute(key)}">{passage.number}</button>'
        f'<span class="hidden" id="q-{attribute(key)}"><span class="title">{text(passage.place)}</span>'
        f'<span class="quote" dir="auto">{text(quote.text)}</span></span>'
    )


def _confidence(key: str, answer: Answer) -> str:
    share = round(answer.confidence * 100)
    meaning = (
        f"Of 100 answers given with this confidence, about {share} were right, measured on questions over articles"
        " that the assistant had not seen."
    )
    level = sum(answer.confidence >= least for least, _ in _WORDS)
    return (
        f'<p class="confidence"><button type="button" class="meaning level-{level}" aria-describedby="c-{attribute(key)}">'
        f'<span class="meter" aria-hidden="true"><i></i><i></i><i></i><i></i></span>'
        f'{confidence_words(answer.confidence)}</button><span class="hidden" id="c-{attribute(key)}">{meaning}</span></p>'
    )


def _sources(answer: Answer) -> str:
    listed = "".join(
        _source(passage, quote, f'<span class="number" aria-hidden="true">{passage.number}</span>')
        for passage in answer.passages
        for quote in passage.quotes
    )
    return (
        f'<section class="sources" aria-label="Sources"><h4>Sources</h4><ol>{listed}</ol></section>'
        if listed
        else ""
    )


def _actions(answer: Answer | None) -> str:
    return f'<div class="actions">{"".join(_buttons(answer))}</div>'


def _buttons(answer: Answer | None) -> Iterator[str]:
    if answer is not None:
        yield button("copy", "Copy with sources", "copy", text=answer_text(answer))
        yield button("good", "Good answer", "up")
        yield button("bad", "Bad answer", "down")
    yield button("retry", "Ask again", "retry")
    yield button("edit", "Edit the question", "edit")


def welcome_html(articles: int, asked: Sequence[str], filling: bool = False) -> str:
    """Return what an empty conversation offers: questions of the chosen articles, or how to add one."""
    if filling:
        return '<div class="welcome" data-filling><h2>One moment</h2><p>The bundled articles are being added, once.</p></div>'
    if not articles:
        return (
            '<div class="welcome"><h2>Your library is empty</h2><p>Faqtual answers from your own articles, on this'
            " machine, and shows the sentence behind every claim.</p><p>Drop files onto the page, choose them, or name"
            ' a web page on the left. Or begin with five articles that come along.</p><p class="begin">'
            '<button type="button" class="primary" data-do="choose-files">Choose files</button>'
            '<button type="button" class="quiet" data-do="bundled">Add the bundled articles</button></p></div>'
        )
    offered = "".join(
        f'<li><button type="button" class="offer" data-do="offer" dir="auto">{text(one)}</button></li>'
        for one in asked
    )
    intro = "Their authors ask:" if offered else "Ask anything that they tell."
    return (
        '<div class="welcome"><h2>Ask your articles</h2><p>Every sentence of an answer is checked against the quote that'
        f' backs it. {intro}</p><ul class="offers">{offered}</ul></div>'
    )
