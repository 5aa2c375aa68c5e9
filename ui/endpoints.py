"""What the page's script calls: asking, the library, the reader, feedback, export."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.article import Article
from corpus.errors import RagError
from corpus.readers import SUFFIXES, bundled_articles
from index.database import explained
from rag.assistant import MOST_QUESTION_CHARACTERS
from rag.turns import Turns
from ui.adding import adding
from ui.asking import Desk
from ui.conversation import exchange_html, welcome_html
from ui.exchange import Refused, as_value, exchange_of, exchanges_of, key_of, list_of, offset_of, text_of
from ui.export import conversation_markdown
from ui.reading import article_html
from ui.service import Service
from ui.shelf import shelf_html, suggestions

_MOST_LEFT_OUT = 100_000
_MOST_UPLOADS = 100
_MOST_REMOVED = 50

Values = dict[str, Any]


class Endpoints:
    """What page.js calls. Every value that comes from there is checked before it is used."""

    def __init__(self, service: Service, uploads: set[str]) -> None:
        """Serve the pages of one service; ``uploads`` are the files that Gradio took in."""
        self._service = service
        self._desk = Desk(service)
        self._uploads = uploads
        self._adding = Turns()
        self._removed: OrderedDict[str, Article] = OrderedDict()

    def ask(self, key: str, question: str, previous: list[Any], left_out: list[Any]) -> Iterator[Values]:
        """Yield what happens to a question, last its exchange."""
        key, question = key_of(key), text_of(question, 10 * MOST_QUESTION_CHARACTERS)
        before = [text_of(one, 10 * MOST_QUESTION_CHARACTERS) for one in list_of(previous, 1000)]
        yield from self._desk.ask(key, question, before, _ids(left_out))

    def stop(self, key: str) -> Values:
        """Take a question back."""
        self._desk.stop(key_of(key))
        return {}

    def conversation(self, exchanges: list[Any]) -> Values:
        """Return a kept conversation, as far as it is whole, as HTML and as values."""
        known = exchanges_of(exchanges)
        return {"html": "".join(map(exchange_html, known)), "exchanges": [as_value(one) for one in known]}

    def welcome(self, left_out: list[Any]) -> Values:
        """Return what an empty conversation shows."""
        out = set(_ids(left_out))
        with self._service.library() as library:
            ids = [one.id for one in library.listings()]
            asked = suggestions(library, [one for one in ids if one not in out])
        return {"html": welcome_html(len(ids), asked, self._service.filling.is_set())}

    def shelf(self, wanted: str, left_out: list[Any]) -> Values:
        """Return the articles whose title or source has ``wanted``."""
        out = _ids(left_out)
        with self._service.library() as library:
            listings = library.listings()
        ids = {one.id for one in listings}
        return {
            "html": shelf_html(listings, out, text_of(wanted, 1000)),
            "articles": len(ids),
            "chosen": len(ids - set(out)),
            "ids": sorted(ids) if len(ids) <= _MOST_LEFT_OUT else [],
            "filling": self._service.filling.is_set(),
        }

    def reading(self, article_id: str, spans: list[Any]) -> Values:
        """Return an article with these spans marked."""
        marked = [
            (offset_of(span[0]), offset_of(span[1]))
            for span in map(list_of, list_of(spans, 500))
            if len(span) == 2
        ]
        try:
            with self._service.library() as library:
                article = library.article(text_of(article_id, 300))
        except RagError:
            return {"error": "This article is no longer in the library. Add it again to read it."}
        return {"html": article_html(article, marked)}

    def add(self, uploads: list[Any], address: str) -> Iterator[Values]:
        """Add uploaded files or what is at an address; yield how far it is, last what came of it."""
        try:
            places, failures = self._places(uploads), []
        except RagError as error:
            places, failures = [], [str(error)]
        if address := text_of(address, 2000).strip():
            if address.lower().startswith(("http://", "https://")):
                places.append(address)
            else:
                failures.append("An address begins with http:// or https://; copy it from the browser.")
        if not places:
            yield {"failures": failures or ["Nothing to add: choose files, or name an address."]}
            return
        with self._adding.take() as turn:
            for _ in turn.places():
                yield {"stage": "waiting for what others add", "done": 0, "total": 0}
            yield from adding(self._service.folder, places)

    def _places(self, uploads: list[Any]) -> list[str]:
        """Move what Gradio took in to the library's folder; anything else that is named is passed over."""
        kept = self._service.folder / "uploads"
        places = []
        for named in list_of(uploads, _MOST_UPLOADS):
            path = Path(text_of(named))
            if str(path) not in self._uploads or path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            with explained(self._service.folder):
                kept.mkdir(parents=True, exist_ok=True)
                place = kept / path.name
                place.write_bytes(path.read_bytes())
                path.unlink()
            self._uploads.discard(str(path))
            places.append(str(place))
        return places

    def bundled(self) -> Iterator[Values]:
        """Add the bundled articles; yield how far it is."""
        yield from adding(self._service.folder, [str(bundled_articles())])

    def remove(self, article_id: str) -> Values:
        """Take an article out; ``undo`` puts it back."""
        with self._service.library() as library:
            article = library.article(text_of(article_id, 300))
            library.remove([article.id], lambda *_: None)
        self._removed[article.id] = article
        if len(self._removed) > _MOST_REMOVED:
            self._removed.popitem(last=False)
        upload = Path(article.source)
        if upload.parent == (self._service.folder / "uploads").resolve():
            upload.unlink(missing_ok=True)
        return {"title": article.title}

    def undo(self, article_id: str) -> Values:
        """Put back what was removed."""
        article = self._removed.pop(text_of(article_id, 300), None)
        if article is None:
            return {"error": "It was removed too long ago; add it again."}
        with self._service.library() as library:
            library.add([article], lambda *_: None)
        return {}

    def feedback(self, exchange: Values, previous: list[Any], good: bool, correction: str) -> Values:
        """Keep a person's word on an answer in the library; ``rag eval`` asks it again."""
        from index.feedback import Feedback

        known = exchange_of(exchange)
        if known.answer is None:
            raise Refused("there is no answer to speak of")
        said = " ".join(sentence.text for sentence in known.answer.sentences)
        before = tuple(text_of(one) for one in list_of(previous, 1000))
        word = Feedback(known.question, said, good is True, before, text_of(correction, 4000).strip())
        with self._service.library() as library:
            library.add_feedback(word)
        return {}

    def export(self, title: str, exchanges: list[Any]) -> Values:
        """Return a conversation as Markdown with footnotes."""
        return {"markdown": conversation_markdown(text_of(title, 1000), exchanges_of(exchanges))}


def _ids(value: object) -> list[str]:
    return [text_of(one, 300) for one in list_of(value, _MOST_LEFT_OUT)]


def explained_to_the_page(function: Any) -> Any:
    """Let an endpoint answer with what failed, for the page to show."""

    @functools.wraps(function)
    def answer(*values: Any) -> Values:
        try:
            return dict(function(*values))
        except RagError as error:
            return {"error": str(error)}
        except Refused:
            return {"error": "The page sent what the server does not take; reload it."}

    return answer
