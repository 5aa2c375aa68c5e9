"""Which sentences an answer shows: both sides of a conflict, nothing twice."""

from dataclasses import replace

import pytest

from corpus.readers import parse_article
from index.library import Library
from rag.answer import Passage, Quote
from rag.assistant import Assistant
from rag.evidence import Evidence
from rag.models import find_model
from rag.selection import best_evidence, opposes, with_antecedents
from ui.render import answer_lines

ARTICLES = {
    "sale.md": "# The sale of Ostia's harbour\n\nOstia sold its harbour to Bremen for 14 million euros in May 2021. Gulls nest there.",
    "bremen.md": "# Bremen's new harbour\n\nBremen paid 15 million euros for the harbour of Ostia in May 2021. It has 40 cranes.",
    "ferry.md": "# The ferry\n\nThe ferry to Ostia carries 300 people and 90 cars. It runs every hour.",
}
QUESTION = "How much did Bremen pay for the harbour of Ostia?"


@pytest.fixture(scope="module")
def harbours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harbours")
    with Library(folder / "library") as library:
        articles = [parse_article(text.encode(), folder / name) for name, text in ARTICLES.items()]
        library.add(articles, lambda *_: None)
        yield Assistant(library, find_model("bundled"))


def test_articles_that_disagree_are_both_shown_with_their_sources(harbours):
    answer = harbours.ask(QUESTION)
    assert answer.conflict and "14 million" in answer.answer and "15 million" in answer.answer
    cited = {p.title for p in answer.passages if p.cited}
    assert cited == {"The sale of Ostia's harbour", "Bremen's new harbour"}
    assert "do not agree" in "\n".join(answer_lines(answer))


def test_one_article_alone_does_not_disagree(harbours):
    answer = harbours.ask(QUESTION, article_ids=("bremen",))
    assert not answer.conflict and "15 million" in answer.answer and "14 million" not in answer.answer
    assert not harbours.ask("How many people does the ferry to Ostia carry?").conflict


def evidence(passage, text, answer, score=2.0):
    start = text.index(answer)
    return Evidence(passage, Quote(0, len(text), text), score, 0.9, Quote(start, start + len(answer), answer))


ASKED = "What was paid for it?"
PASSAGES = [Passage(n, f"a{n}", "A", "a.md", "", "", 0, 0, 1.0) for n in (1, 2)]


@pytest.mark.parametrize(
    ("one", "other", "opposed"),
    [
        ("14 million", "15 million", True),
        ("14 million", "14 million", False),
        ("14 million", "$14", False),  # another kind of amount
        ("14 million", "Bremen", False),
        ("14 million", "15 million of the 90 ships there", False),  # an answer that only mentions one
    ],
)
def test_what_counts_as_disagreeing(one, other, opposed):
    first, second = (evidence(n, f"It paid {said} for it.", said) for n, said in ((1, one), (2, other)))
    assert opposes(ASKED, second, first, PASSAGES) == opposed
    assert not opposes(
        ASKED, second, first, [PASSAGES[0], PASSAGES[0]]
    )  # one article may name several amounts


def test_an_amount_of_something_else_is_no_contradiction():
    asked = "How much did Bremen pay for the harbour of Ostia?"
    first = evidence(1, "Bremen paid 15 million for the harbour of Ostia.", "15 million")
    other = evidence(2, "Bremen spends 90 million a year on schools.", "90 million")
    assert not opposes(asked, other, first, PASSAGES)


def test_an_amount_of_another_time_is_no_contradiction():
    asked = "How old was Ito when she founded Lumen?"
    then = evidence(1, "Ito founded Lumen at the age of 19.", "19")
    now = evidence(2, "Ito of Lumen, 28 years old, leads the bridge.", "28")
    assert not opposes(asked, now, then, PASSAGES)
    assert opposes(asked, evidence(2, "Ito was 21 when she founded Lumen.", "21"), then, PASSAGES)
    asked = "How much does Lumen spend on bridges?"
    last = evidence(1, "Lumen had 40 million to spend on bridges in 2025.", "40 million")
    this = evidence(2, "Lumen will spend 60 million on bridges in 2026.", "60 million")
    assert not opposes(asked, this, last, PASSAGES)
    assert opposes(
        asked, replace(this, quote=Quote(0, 42, this.quote.text.replace("2026", "2025"))), last, PASSAGES
    )
    asked = "When was Lumen founded?"
    first, second = (evidence(n, f"Lumen was founded in {y}.", y) for n, y in ((1, "2019"), (2, "2020")))
    assert opposes(asked, second, first, PASSAGES)


def test_a_further_sentence_says_something_new():
    first = evidence(1, "Bremen paid 15 million for it.", "15 million")
    again = evidence(2, "The harbour cost Bremen 15 million in all.", "15 million")
    more = evidence(2, "It was paid in three parts.", "three parts")
    shown, conflict = best_evidence(ASKED, [first, again, more], PASSAGES)
    assert not conflict
    assert [one.quote for one in shown] == [first.quote, more.quote]
    assert shown[0] == first and 0.5 < shown[1].confidence < first.confidence
    unlikely = replace(more, score=-9.0)
    assert best_evidence(ASKED, [first, unlikely], PASSAGES).evidence == [first]


TOLD = "Bremen bought the harbour in 2021. It cost 15 million euros. They were paid in parts.\n\nIt is deep."


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        (["It cost 15 million euros."], ["Bremen bought the harbour in 2021. It cost 15 million euros."]),
        (["Bremen bought the harbour in 2021."], ["Bremen bought the harbour in 2021."]),
        (["It is deep."], ["It is deep."]),  # another paragraph may speak of something else
        (
            ["They were paid in parts.", "It cost 15 million euros."],
            ["They were paid in parts.", "Bremen bought the harbour in 2021. It cost 15 million euros."],
        ),
    ],
)
def test_a_quote_that_leans_on_the_sentence_before_has_it_with_it(quoted, shown):
    passage = Passage(1, "a", "A", "a.md", "", TOLD, 100, 100 + len(TOLD), 1.0)
    spots = [(100 + TOLD.index(text), text) for text in quoted]
    best = [Evidence(1, Quote(start, start + len(text), text), 2.0, 0.9) for start, text in spots]
    given = [e.quote for e in with_antecedents(best, [passage])]
    assert [quote.text for quote in given] == shown
    assert all(TOLD[q.start - 100 : q.end - 100] == q.text for q in given)


def test_the_sentence_before_alone_is_no_answer(tmp_path, monkeypatch):
    text = "# The lab\n\nWang leads the lab. He was appointed by Zuckerberg in a hall."
    with Library(tmp_path / "library") as library:
        library.add([parse_article(text.encode(), tmp_path / "lab.md")], lambda *_: None)
        assistant = Assistant(library, find_model("bundled"))
        monkeypatch.setattr(Assistant, "_drafts", lambda *_: iter(["Wang leads the lab."]))
        answer = assistant.ask("By whom was he appointed in a hall?")
    assert [s.text for s in answer.sentences] == [
        "Wang leads the lab. He was appointed by Zuckerberg in a hall."
    ]


@pytest.mark.parametrize(
    "text", ["This March it rains.", "Both Meta and Google pay.", "That said, it rains.", "Itself."]
)
def test_what_leans_on_nothing_stays_as_it_is(text):
    passage = Passage(1, "a", "A", "a.md", "", f"It was so. {text}", 0, 11 + len(text), 1.0)
    alone = Evidence(1, Quote(11, 11 + len(text), text), 2.0, 0.9)
    assert with_antecedents([alone], [passage]) == [alone]
