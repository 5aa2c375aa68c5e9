import itertools
import json
import sqlite3

import pytest

import index.words
from index.chunk import CHUNK_PIECES
from index.embed import QuestionEncoder, count_pieces
from index.library import Library
from index.vectors import Hit
from index.words import SCHEMA, search_words
from rag.retrieve import fused, rank_chunks, retrieve

QUIET = lambda *_: None  # noqa: E731


def filled(tmp_path, texts):
    from corpus.readers import read_articles

    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text)
    library = Library(tmp_path / "library")
    library.add(read_articles(tmp_path), QUIET)
    return library


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How does GPT-5.4 score?", "gpt"),
        ("gpt 5.4", "gpt"),
        ("What cost $14.3 billion?", "scale"),
        ("which answers use 10x less compute", "ten"),
        ("Café opening", "cafe"),
        ("opens its cafes", "cafe"),
        ("Zuckerburg's letter", "zuckerberg"),
        ("what did zuckerbreg write", "zuckerberg"),
        ("Alexandar Wang's job", "wang"),
        ("WANG", "wang"),
    ],
)
def test_names_and_numbers_match_as_people_type_them(tmp_path, question, expected):
    texts = {
        "gpt": "# A\n\nGPT-5.4 scored 57 points in the index.",
        "gptold": "# A\n\nGPT-4.5 scored 12 points, and 5 of 4 judges agreed, in the index.",
        "scale": "# B\n\nThe stake in Scale was bought for $14.3 billion.",
        "stake": "# B\n\nThe other stake was bought for $3.14 billion by 14 firms.",
        "ten": "# C\n\nThe model uses 10x less compute than before.",
        "hundred": "# C\n\nThe model uses 100x less compute than before.",
        "cafe": "# D\n\nA café opened by the river.",
        "zuckerberg": "# E\n\nZuckerberg wrote a letter about open models.",
        "wang": "# F\n\nAlexandr Wang leads the lab.",
    }
    with filled(tmp_path, texts) as library:
        spelt = library.corrected(question)
        hits = library.search_words(spelt, 3)
        assert library.chunks([hits[0].chunk_id])[hits[0].chunk_id].article_id == expected


@pytest.mark.parametrize(
    "question",
    [
        "Who are the parents of Zuckerberg?",  # "patents" is one letter off, and "parents" a word
        "Who designed the Eiffel Tower?",
        "Who is Wangari?",
        "What is 'DROP TABLE words'? \" OR * NEAR(",
        "",
        "ab cd",
    ],
)
def test_what_is_spelt_right_or_unlike_anything_stays(tmp_path, question):
    with filled(tmp_path, {"a": "# A\n\nZuckerberg counts patents. Wang leads the lab."}) as library:
        assert library.corrected(question) == question


def test_a_misspelt_question_is_answered_and_shown_corrected(assistant):
    answer = assistant.ask("How much did Meta pay for its stake in Scale AI acording to Zuckerburg?")
    assert "Zuckerberg" in answer.standalone_question and "according" in answer.standalone_question


def test_rare_words_decide_where_the_common_ones_are_too_many(monkeypatch):
    monkeypatch.setattr(index.words, "_MOST_MATCHES", 20)
    database = sqlite3.connect(":memory:")
    database.executescript(SCHEMA)
    rows = [(n, "", "", f"the common bridge number {n}") for n in range(1, 200)]
    database.executemany("INSERT INTO words(rowid, title, heading, text) VALUES (?, ?, ?, ?)", rows)
    hits = search_words(database, "common bridge 77", 5, ())
    assert hits[0].chunk_id == 77 and len(hits) == 5  # the rest have the common words
    assert len(search_words(database, "common bridge", 5, ())) == 5
    assert search_words(database, "nothing like it", 5, ()) == []


def test_found_chunks_say_why(folder, assistant):
    question = "How much did Meta pay for its stake in Scale AI?"
    with Library(folder) as library:
        found = rank_chunks(library, question, assistant.encode([question])[0], 10)
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    assert all(f.dense or f.words for f in found) and "stake" in found[0].matched(question)
    assert all(0 < f.score <= 1 for f in found)


def test_the_command(rag, folder):
    done = rag("search", "Who leads Meta Superintelligence Labs?", "--top-k", "3", library=folder)
    assert (
        done.returncode == 0
        and "by meaning " in done.stdout
        and "; read +" in done.stdout
        and "words: " in done.stdout
    )
    done = rag("search", "Who is Zuckerburg?", "--json", library=folder)
    report = json.loads(done.stdout)
    assert report["searched"] == "Who is Zuckerberg?" and len(report["results"]) == 5
    text = json.loads(rag("show", report["results"][0]["article_id"], "--json", library=folder).stdout)[
        "text"
    ]
    assert all(text[r["start"] : r["end"]] == r["text"] for r in report["results"][:1])
    assert rag("search", " ", library=folder).returncode == 2


def test_neighbours_become_one_passage_within_the_budget(tmp_path):
    things = "stone iron timber brick".split()
    parts = [
        f"The {thing} bridge crosses the river Ost. "
        + " ".join(f"Its {thing} part {n} is {thing}{n}." for n in range(9))
        for thing in things
    ]
    with filled(tmp_path, {"long": "# Bridges\n\n" + "\n\n".join(parts)}) as library:
        vector = QuestionEncoder().encode(["Which bridge crosses the river Ost?"])[0]
        passages = [
            found.passage for found in retrieve(library, "Which bridge crosses the river Ost?", vector, 3)
        ]
        text = library.article("long").text
        chunks = rank_chunks(library, "Which bridge crosses the river Ost?", vector, 4)
    assert len(chunks) == 4 and [p.number for p in passages] == list(range(1, len(passages) + 1))
    assert len(passages) <= 3 and all(text[p.start : p.end] == p.text for p in passages)
    spans = sorted((p.start, p.end) for p in passages)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
    assert sum(count_pieces([p.text for p in passages])) <= 3 * CHUNK_PIECES
    assert any(p.text.count("crosses") > 1 for p in passages)


def test_fused_scores_are_means_of_scaled_ones():
    scores = fused([Hit(1, 0.9), Hit(2, 0.7), Hit(3, 0.5)], [Hit(2, 8.0), Hit(4, 2.0)])
    assert scores == pytest.approx({1: 0.5, 2: 0.75, 3: 0.0, 4: 0.0})
    assert fused([], [Hit(2, 8.0)]) == {2: 0.5} and fused([], []) == {}
