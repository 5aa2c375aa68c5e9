"""What the page is made of, without a browser: values, HTML, text, the queue, the library behind it."""

import json
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from corpus.article import Article, Section
from corpus.errors import Stopped, UsageError
from index.library import Library
from rag.answer import Answer, ModelIdentity, Passage, Quote, Sentence, Timings
from rag.prompt import REFUSAL
from rag.steps import Step
from ui.adding import adding
from ui.asking import Desk, chosen_ids, step_text
from ui.conversation import confidence_words, exchange_html, welcome_html
from ui.endpoints import Endpoints
from ui.exchange import Exchange, Refused, as_value, exchange_of, exchanges_of
from ui.export import answer_text, conversation_markdown, quote_behind
from ui.reading import article_html
from ui.service import Service
from ui.shelf import MOST_ROWS, shelf_html, suggestions

EVIL = "<script>alert(1)</script>\"' onerror=x [a](javascript:b) ![c](http://d) \u202e"


class Tags(HTMLParser):
    """Gathers the tags of some HTML with their attributes, and the text inside ``mark``."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.marks, self._open = [], {}, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "mark":
            self._open.append(dict(attributes)["data-spans"])

    def handle_endtag(self, tag):
        if tag == "mark":
            self._open.pop()

    def handle_data(self, data):
        for name in self._open[-1].split() if self._open else ():
            self.marks[name] = self.marks.get(name, "") + data


def passage(number=1, *quotes, title="Bridges"):
    spans = tuple(Quote(10 * n, 10 * n + len(quote), quote) for n, quote in enumerate(quotes))
    place = (number, f"a{number}", title, f"/notes/{title}.md", "Costs", "The bridge cost 40 million.", 0, 27)
    return Passage(*place, 0.9, bool(quotes), spans)


def answer(sentences, passages, **changes):
    texts = " ".join(sentence.with_markers for sentence in sentences)
    made = Answer(
        "What?",
        "What?",
        "answered" if sentences else "abstained",
        texts or REFUSAL,
        tuple(sentences),
        tuple(passages),
        0.7312,
        ModelIdentity("m", ""),
        0,
        Timings(),
    )
    return replace(made, **changes)


TWO = answer(
    [
        Sentence("It cost 40 million.", (1,), "quoted", 0.9),
        Sentence("The city paid.", (2,), "supported", 0.8),
        Sentence("It opened in May.", (1,), "supported", 0.8),
    ],
    [passage(1, "It cost 40 million.", "It opened in May 1990."), passage(2, "The city paid for it.")],
)


def test_each_sentence_finds_the_quote_that_backs_it():
    quotes = [quote_behind(TWO, place)[1].text for place in range(3)]
    assert quotes == ["It cost 40 million.", "The city paid for it.", "It opened in May 1990."]
    assert quote_behind(answer([Sentence("x", (9,), "quoted", 1.0)], [passage(1, "x")]), 0) is None


def through_json(value):
    return json.loads(json.dumps(value))


def test_an_exchange_survives_the_browser():
    kept = through_json(as_value(Exchange("k-1", "What?", TWO)))
    assert exchange_html(exchange_of(kept)) == exchange_html(Exchange("k-1", "What?", TWO))
    stopped = Exchange("k", "What?", said=("It cost",))
    assert exchange_of(through_json(as_value(stopped))) == stopped


@pytest.mark.parametrize(
    "change",
    [
        {"key": "a b"},
        {"key": '"><b>'},
        {"question": 3},
        {"question": "x" * 3000},
        {"answer": []},
        {"answer": {"sentences": "x"}},
        {"said": ["x"] * 51},
        {"error": None},
    ],
)
def test_what_the_page_did_not_write_is_refused(change):
    with pytest.raises(Refused):
        exchange_of({**through_json(as_value(Exchange("k", "What?", TWO))), **change})
    assert exchanges_of([{**through_json(as_value(Exchange("k", "What?", TWO))), **change}, 3]) == []
    assert exchanges_of("no list") == []


@pytest.mark.parametrize(
    "path",
    [
        ("confidence",),
        ("passages", 0, "start"),
        ("passages", 0, "quotes", 0, "end"),
        ("sentences", 0, "citations"),
    ],
)
@pytest.mark.parametrize("bad", [True, -1, 2**40, float("nan"), "1", None, {}])
def test_numbers_from_the_browser_are_checked(path, bad):
    value = through_json(as_value(Exchange("k", "What?", TWO)))
    inner = value["answer"]
    *way, last = path
    for step in way:
        inner = inner[step]
    inner[last] = bad
    if path == ("confidence",) and bad is True:
        return  # a share of one
    with pytest.raises(Refused):
        exchange_of(value)


def test_hostile_text_stays_text():
    hostile = answer(
        [Sentence(EVIL, (1,), "quoted", 0.9)],
        [replace(passage(1, EVIL, title=EVIL), heading=EVIL, article_id=EVIL)],
    )
    pages = [
        exchange_html(Exchange("k", EVIL, replace(hostile, standalone_question=EVIL))),
        exchange_html(Exchange("k", EVIL, replace(hostile, status="abstained"))),
        exchange_html(Exchange("k", EVIL, replace(hostile, conflict=True))),
        exchange_html(Exchange("k", EVIL, said=(EVIL,))),
        exchange_html(Exchange("k", EVIL, error=EVIL)),
        article_html(
            Article(EVIL, EVIL, EVIL, f"{EVIL}\n\n{EVIL}", (Section(EVIL, len(EVIL) + 2, 2 * len(EVIL) + 2),))
        ),
        welcome_html(1, [EVIL]),
    ]
    ours = set("article h2 h3 h4 p q span bdi button svg use section ol ul li div i header mark".split())
    for page in pages:
        for tag, attributes in Tags(page).tags:
            assert tag in ours and not [name for name in attributes if name.startswith("on") or name == "src"]
        assert "&lt;script&gt;" in page


def test_quoted_and_worded_sentences_differ_and_words_tell_the_confidence():
    page = exchange_html(Exchange("k", "What?", TWO))
    assert page.count('<q class="quoted"') == 1 and page.count('class="worded"') == 2
    assert "Likely right" in page and "about 73 were right" in page
    assert [confidence_words(c) for c in (0.99, 0.5, 0.0)] == [
        "Very likely right",
        "Uncertain",
        "Very uncertain",
    ]
    both = exchange_html(Exchange("k", "What?", replace(TWO, conflict=True)))
    assert "do not agree" in both and both.count('<li><span class="sentence">') == 3
    alone = exchange_html(Exchange("k", "It?", replace(TWO, standalone_question="The bridge?")))
    assert "Asked as: <bdi>The bridge?</bdi>" in alone and "Asked as" not in page


def test_marks_hold_the_cited_span_and_nothing_else():
    text = "Head\n\nOne two three.\n\nFour\nfive <six> \x07seven."
    article = Article("a", "T", "/x/t.md", text, (Section("Head", 6, len(text)),))
    spans = [(6, 9), (10, 20), (14, 30), (27, 38), (40, 999), (5, 5)]
    found = Tags(article_html(article, spans))
    assert found.marks == {
        f"{a}-{b}": text[a:b].replace("\n\n", "").replace("\x07", "\ufffd") for a, b in spans[:4]
    }
    assert ("h3", {"dir": "auto"}) in found.tags


def test_copied_and_exported_text_has_its_sources():
    assert '[1] Bridges > Costs: "It cost 40 million."' in answer_text(TWO)
    exchanges = [Exchange("k", "What?", TWO), Exchange("l", "And?", answer([], [passage(1)]))]
    markdown = conversation_markdown("My talk", exchanges)
    assert "It cost 40 million.[^1] The city paid.[^2] It opened in May.[^3]" in markdown
    assert "[^3]: Bridges \\> Costs (Bridges.md): “It opened in May 1990.”" in markdown
    assert REFUSAL in markdown


def test_exported_text_never_becomes_markup():
    from markdown_it import MarkdownIt

    hostile = answer(
        [Sentence(EVIL, (1,), "quoted", 0.9)], [passage(1, f"{EVIL} https://e.f www.g.h", title=EVIL)]
    )
    for start in ("# ", "- ", "1. ", "> ", "=== ", "```", "    "):
        markdown = conversation_markdown(start + EVIL, [Exchange("k", start + EVIL, hostile)])
        tags = {tag for tag, _ in Tags(MarkdownIt("gfm-like", {"linkify": False}).render(markdown)).tags}
        assert tags <= {"h1", "h2", "p", "em"}


def test_the_shelf_filters_and_bounds_its_rows(library):
    listings = library.listings()
    assert shelf_html(listings, [listings[0].id]).count(" checked") == len(listings) - 1
    assert shelf_html(listings, [], listings[1].title[:12].upper()).count("<li") >= 1
    assert "No article matches" in shelf_html(listings, [], "zebra crossing")
    many = [replace(listings[0], id=str(n)) for n in range(MOST_ROWS + 5)]
    assert "5 more" in shelf_html(many, [])
    asked = suggestions(library, [one.id for one in listings])
    sources = [
        next(one.id for one in listings if q in {f.question for f in library.article(one.id).faqs})
        for q in asked
    ]
    assert len(set(sources)) == len(listings)


class Slow:
    """Stands in for the assistant: says one sentence, then goes on until it is stopped."""

    def __init__(self):
        self.stopped, self.asked = threading.Event(), []

    def stop(self):
        self.stopped.set()

    def stream(self, question, *, previous, article_ids, tell):
        self.stopped.clear()
        tell(Step("searching"))
        self.asked.append((question, tuple(previous), article_ids))
        if question == "quick":
            yield TWO
            return
        yield TWO.sentences[0]
        assert self.stopped.wait(60)
        raise Stopped("the answer was stopped")


@pytest.fixture
def service(folder):
    service = Service(folder)
    service._assistant = Slow()
    return service


def test_stopping_ends_an_answer_and_one_that_waits(service):
    desk = Desk(service)
    first, second = desk.ask("one", "slow", [], []), desk.ask("two", "slow", [], [])
    assert next(first) == {"stage": "Searching the articles"}
    assert "It cost" in next(first)["sentence"]
    assert next(second) == {"stage": "1 before you in the queue"}
    desk.stop("two")
    assert next(second)["exchange"]["said"] == []
    desk.stop("one")
    (last,) = first
    assert last["exchange"]["said"] == ["It cost 40 million."] and "You stopped" in last["html"]
    assert desk._open == {}
    desk.stop("one")  # too late is no fault


def test_a_page_that_goes_away_frees_its_place(service):
    desk = Desk(service)
    gone = desk.ask("one", "slow", [], [])
    next(gone)
    gone.close()
    *_, last = desk.ask("two", "quick", ["Who?"], [])
    assert last["exchange"]["answer"]["status"] == "answered"
    assert service._assistant.asked[-1] == ("quick", ("Who?",), ())


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("reading", 0, 10), "Reading 10 passages"),
        (Step("reading", 3, 10), "Reading 3 of 10 passages"),
        (Step("reading", 0, 1), "Reading 1 passage"),
        (Step("prefilling", 0, 700), "The model reads 700 tokens"),
        (Step("prefilling", 512, 1700), "The model reads 512 of 1,700 tokens"),
        (Step("prefilling"), "The model reads the best quotes"),
    ],
)
def test_a_step_says_how_far_it_is(step, said):
    assert step_text(step) == said


def test_the_page_hears_each_step_of_a_real_answer(folder, assistant):
    service = Service(folder)
    service._assistant = assistant
    events = Desk(service).ask("k", "How much did Meta pay for its stake in Scale AI?", [], [])
    stages = [event["stage"] for event in events if "stage" in event]
    read = ["Reading 10 passages", *(f"Reading {n} of 10 passages" for n in range(1, 10))]
    assert stages[:11] == ["Searching the articles", *read]
    assert re.fullmatch(r"The model reads \d+ tokens?", stages[-2]) and stages[-1].startswith("Writing")


def test_leaving_articles_out(service, library):
    ids = [one.id for one in library.listings()]
    assert chosen_ids(service, []) == () and chosen_ids(service, ["gone"]) == ()
    assert chosen_ids(service, ids[1:]) == (ids[0],)
    with pytest.raises(UsageError, match="tick at least one"):
        chosen_ids(service, ids)
    (last,) = Desk(service).ask("k", "quick", [], ids)
    assert "tick at least one" in last["html"]


def test_uploads_are_only_what_was_uploaded(folder, tmp_path):
    secret = tmp_path / "secret.md"
    secret.write_text("# Secret\n\nThe word is plum.\n")
    endpoints = Endpoints(Service(tmp_path / "library"), set())
    assert "failures" in list(endpoints.add([str(secret), "../../etc/passwd"], ""))[-1]
    assert secret.exists()
    assert "http" in list(endpoints.add([], "javascript:alert(1)"))[-1]["failures"][0]
    assert "http" in list(endpoints.add([], "/etc/passwd"))[-1]["failures"][0]
    with pytest.raises(Refused):
        list(endpoints.add("x", ""))


def test_adding_tells_how_far_it_is_and_what_failed(tmp_path):
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("# Good\n\nThe word is plum.\n")
    bad.write_bytes(b"")
    *told, last = adding(tmp_path / "library", [str(good), str(bad)])
    assert last["new"] == ["good"] and "empty" in last["failures"][0] and told[0]["stage"] == "reading"
    (*_, last) = adding(tmp_path / "library", [str(tmp_path / "none")])
    assert "no such file" in last["failures"][0]


def test_removing_and_undoing_keeps_the_article_as_it_was(tmp_path):
    note = tmp_path / "note.md"
    note.write_text("# Note\n\nThe word is plum.\n\n## FAQ\n\n### Which word?\n\nPlum.\n")
    service = Service(tmp_path / "library")
    endpoints = Endpoints(service, {str(note)})
    *_, last = endpoints.add([str(note)], "")
    assert last["new"] == ["note"] and not note.exists()
    with Library(service.folder) as library:
        before = library.article("note")
    assert endpoints.remove("note") == {"title": "Note"}
    assert endpoints.shelf("", [])["articles"] == 0 and "empty" in endpoints.welcome([])["html"]
    assert endpoints.undo("note") == {} and "error" in endpoints.undo("note")
    with Library(service.folder) as library:
        assert library.article("note") == before
    assert not list((service.folder / "uploads").iterdir())
    assert "no longer" in endpoints.reading("other", [])["error"]


def test_a_new_library_is_filled_and_an_emptied_one_stays_empty(tmp_path):
    service = Service(tmp_path / "library")
    service.assistant()
    endpoints = Endpoints(service, set())
    ids = endpoints.shelf("", [])["ids"]
    assert len(ids) == 5
    for one in ids:
        endpoints.remove(one)
    again = Service(tmp_path / "library")
    again.assistant()
    assert Endpoints(again, set()).shelf("", [])["articles"] == 0
    *_, last = Endpoints(again, set()).ask("k", "Who?", [], [])
    assert "library is empty" in last["html"]


def test_turns_that_are_left_do_not_hold_up_the_next():
    from rag.turns import Turns

    turns, served = Turns(), []
    with turns.take() as first:
        list(first.places())
        with turns.take() as waiting:
            thread = threading.Thread(target=waiting.leave)
            thread.start()
            with pytest.raises(Stopped):
                served.extend(waiting.places())
            thread.join()
    with turns.take() as last:
        assert list(last.places()) == []
