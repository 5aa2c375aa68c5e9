"""The recipe of the shipped weights runs end to end on a tiny sample made here."""

import gzip
import json
import random
import subprocess
import sys

import pytest

from rag.check import stems_of
from rag.evidence import CONFIDENCE_SIGNALS, SIGNALS
from rag.logistic import fitted, least_confidence
from rag.retrieve import PASSAGE_SIGNALS
from rag.training.groups import Group, Shown, read_groups
from rag.training.restyle import restyle
from rag.training.sets import WRITTEN, part_of, part_of_article, read_pools
from rag.training.sets import written as written_pool

BIRDS = (
    "Tern Heron Plover Egret Curlew Gull Crane Stork Osprey Raven Finch Wren Swift Lark Robin Dove".split()
)
SQUAD = "squad2_part/squad2_part.json.gz"
NQ = "lost_in_the_middle_nq/qa_data/nq-open-oracle.jsonl.gz"

COST, OTHER = "The Ost canal cost 40 million euros.", "The paper puts the canal's cost at 45 million euros."
DOSSIER = {
    "articles": [
        {"title": "The Ost canal", "text": f"{COST}\n\nIt was dug by hand. Barges use the canal every day."},
        {"title": "A dear canal", "text": f"{OTHER}\n\nNobody says who pays for the canal's upkeep."},
    ],
    "questions": [
        {
            "kind": "conflict",
            "asked": ["What did the Ost canal cost?", "price of ost canal"],
            "evidence": [[0, COST], [1, OTHER]],
            "spans": [[0, "40 million euros"], [1, "45 million euros"]],
            "answer": "One says 40 million euros [1], the other 45 million euros [2].",
        },
        {
            "kind": "repeated",
            "asked": ["Which canal do both articles speak of?"],
            "evidence": [[0, COST], [1, OTHER]],
            "spans": [[0, "Ost canal"], [1, "the canal"]],
            "answer": "Both speak of the Ost canal [1].",
        },
        {
            "kind": "near-miss",
            "asked": ["Who dug the second Ost canal?"],
            "evidence": [],
            "spans": [],
            "answer": "",
        },
    ],
}


def write(path, text):
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two sets in their own formats, about bridges and towers."""
    folder = tmp_path_factory.mktemp("data")
    articles, records = [], []
    for number, name in enumerate(BIRDS):
        year = 1902 + 7 * number
        text = f"The {name} bridge was opened in {year} by its mayor. Trams cross {name} bridge all day."
        question = f"When was the {name} bridge opened?"
        asked = {"question": question, "answers": [{"text": str(year)}], "is_impossible": False}
        near = {"question": f"When was the {name} bridge closed?", "answers": [], "is_impossible": True}
        articles.append({"title": name, "paragraphs": [{"context": text, "qas": [asked, near]}]})
        text = f"The {name} tower has {year - 1800} steps and a bell."
        record = {
            "question": f"how many steps has the {name} tower",
            "answers": [str(year - 1800)],
            "ctxs": [{"title": f"{name} Tower", "text": text}],
        }
        records.append(json.dumps(record))
    write(folder / SQUAD, json.dumps({"data": articles}))
    write(folder / NQ, "\n".join(records))
    (folder / "written").mkdir()
    (folder / "written" / "a.jsonl").write_text(json.dumps(DOSSIER))
    return folder


def training(*arguments):
    command = [sys.executable, "-m", "rag.training", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_the_recipe_runs_end_to_end(data, tmp_path):
    made = tmp_path / "made"
    written = ("--written", data / "written")
    asked = [(pool, question) for pool in read_pools(data, written[1]) for question in pool.questions]
    for_training = [question for pool, question in asked if pool.part_of(question) == "train"]
    assert 20 < len(for_training) < len(asked) == 52
    assert f"{len(for_training)} questions" in training("prepare", data, made, *written).stdout
    groups = list(read_groups(made))
    assert {group.question for group in groups} == {question.text for question in for_training}
    assert all(any(chunk.gold for chunk in group.chunks) == group.answerable for group in groups)
    assert "step 2/2" in training("train", made, "--epochs", "0.6").stdout
    assert "step 4/4" in training("train", made, "--epochs", "1.1").stdout  # goes on from the checkpoint
    reader, weights = made / "reader.safetensors", made / "evidence.json"
    assert "sha256" in training("export", made, "--output", reader).stdout
    training("fit", data, made, *written, "--reader", reader, "--output", weights, "--questions", "40")
    fit = json.loads(weights.read_text())
    assert set(fit["rank"]["weights"]) == set(SIGNALS) and set(fit["passage"]["weights"]) == set(
        PASSAGE_SIGNALS
    )
    assert fit["made"]["report"]["first sentence contains the answer"] > 0.5


def test_a_page_is_on_one_side_whatever_its_set():
    assert part_of("European Union law") == part_of("european union LAW") == "tune"
    assert {part_of(title) for title in ("Islamism", "Harvard University")} == {"report"}


def test_answers_have_their_places(data):
    for pool in read_pools(data, data / "none"):
        for question in pool.questions:
            text = pool.articles[question.article_id].text
            assert all(text[start:end].isdigit() for start, end in question.spans)
            assert bool(question.spans) == ("closed" not in question.text)


def test_a_dossier_is_answered_by_each_of_its_articles(data):
    pool = read_pools(data, data / "written")[-1]
    first, second, repeated, miss = pool.questions
    assert first.needs_all and not repeated.needs_all and len(repeated.elsewhere) == 1
    assert first.spans == second.spans and not miss.answerable
    places = [(first.article_id, *first.spans[0]), *first.elsewhere]
    assert [pool.articles[i].text[start:end] for i, start, end in places] == [
        "40 million euros",
        "45 million euros",
    ]
    assert len({part_of_article(article) for article in pool.articles.values()}) == 1


def test_the_written_dossiers_say_what_they_claim():
    lines = [line for path in WRITTEN.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert len(lines) > 100
    forms = []
    for dossier in map(json.loads, lines):
        texts = [article["text"] for article in dossier["articles"]]
        for question in dossier["questions"]:
            forms += question["asked"]
            assert all(texts[n].count(evidence) == 1 for n, evidence in question["evidence"])
            assert all(
                any(m == n and answer in evidence for m, evidence in question["evidence"])
                for n, answer in question["spans"]
            )
            assert bool(question["answer"]) == bool(question["evidence"]) == (question["kind"] != "near-miss")
    assert len(set(forms)) > 0.99 * len(forms)


def test_what_was_written_on_quotes_is_of_the_dossiers():
    paths = (WRITTEN / "support").glob("*.jsonl")
    records = [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]
    articles = written_pool(WRITTEN).articles
    for record in records:
        stem, number, article = record["id"].split("/")
        assert articles[f"written/{stem}{number}/{article}"].text.count(record["quote"]) == 1
        assert [len(set(record[label])) for label in ("supported", "contradicted", "not_stated")] == [3, 2, 3]
    assert len(records) > 900


def test_all_answers_of_a_dossier_are_trained_on():
    from rag.training.samples import sample_of

    dug, cost = "It was dug by hand.", "The paper says so."
    chunks = [
        Shown("A canal", text, [[0, len(text)]], [[0, 5]], True, n) for n, text in enumerate((dug, cost))
    ]
    for pool, shown in (("Written", 2), ("NQ", 1)):
        group = Group(pool, "What is said of the canal?", True, chunks)
        tries = [sample_of(group, 5, random.Random(seed), 0.1) for seed in range(40)]
        samples = [sample for sample in tries if sample]
        assert max(sum(sample.gold_chunks) for sample in samples) == shown
        assert {sample.each_gold for sample in samples} == {pool == "Written"}


def test_a_near_miss_is_shown_as_often_as_it_is_to_be():
    from rag.training.samples import sample_of

    text = "It was dug by hand."
    miss = Group("Written", "Who paid?", False, [Shown("A canal", text, [[0, 19]], [], True, 0)])
    shown = [sample_of(miss, 5, random.Random(seed), 0.3) is not None for seed in range(200)]
    assert 40 < sum(shown) < 80


def test_the_words_of_a_question_do_not_tell_whether_it_is_answered():
    from rag.training.balance import unanswered_chances

    def group(n, question, answered):
        gold = [[0, 5]] if answered else []
        return Group("Written", question, answered, [Shown(f"T{n % 40}", "It was.", [[0, 7]], gold, True, 0)])

    whys = [group(n, f"Why was it closed in {n}?", n % 10 > 0) for n in range(400)]
    whos = [group(n, f"Who opened it in {n}?", n % 10 > 6) for n in range(400)]
    chances = unanswered_chances([*whys, *whos])
    for groups, here in ((whys, chances[:400]), (whos, chances[400:])):
        unanswered = sum(here)
        answered = sum(1 - chance for one, chance in zip(groups, here, strict=True) if one.answerable)
        assert 0.28 < unanswered / (unanswered + answered) < 0.42


def test_what_the_words_of_a_question_tell_is_set_aside():
    from rag.training.balance import odds_by_words

    known = [(f"Why was bridge {n} closed?", False) for n in range(30)]
    known += [(f"Who paid for bridge {n}?", True) for n in range(30)]
    why, who = odds_by_words(known, ["Why was it closed?", "Who paid for it?"])
    assert why < 0.5 < 2 < who
    assert odds_by_words(known[:30], ["Who paid?"]) == [1.0]


def test_each_gold_place_counts():
    import torch

    from rag.training.reader import _each_nll, _nll

    none = torch.zeros(1)
    scores = [torch.tensor([2.0, -1.0]), torch.tensor([0.5])]
    one, two, neither = [[True, False], [False]], [[True, False], [True]], [[False, False], [False]]
    assert torch.isclose(_each_nll(scores, one, none), _nll(scores, one, none))
    assert torch.isclose(_each_nll(scores, neither, none), _nll(scores, neither, none))
    lower = [scores[0], torch.tensor([-5.0])]
    assert _nll(lower, two, none) < 0.3 < 2 < _each_nll(lower, two, none)
    assert _each_nll([], [], none) == 0


STYLES = ["When was the Tern bridge opened by its mayor?", "What is the height of the old tower?"]


@pytest.mark.parametrize("question", STYLES)
def test_a_question_keeps_its_words_in_every_style(question):
    chance = random.Random(3)
    styled = [restyle(question, "Bridges", chance) for _ in range(300)]
    assert 60 < styled.count(question) < 250
    assert len(set(styled)) > 40
    known = set(stems_of(question))
    assert sum(len(known & set(stems_of(text))) >= len(known) - 2 for text in styled) > 290


def test_a_folder_without_sets_is_an_error(tmp_path):
    command = [sys.executable, "-m", "rag.training", "prepare", str(tmp_path), str(tmp_path / "made")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (
        done.returncode == 1 and done.stderr.startswith("rag.training: ") and "Traceback" not in done.stderr
    )


def test_the_shipped_weights_load():
    assert len(fitted("rank", SIGNALS).weights) == len(SIGNALS)
    assert len(fitted("confidence", CONFIDENCE_SIGNALS).weights) == len(CONFIDENCE_SIGNALS)
    assert len(fitted("passage", PASSAGE_SIGNALS).weights) == len(PASSAGE_SIGNALS)
    assert 0 < least_confidence() < 1
