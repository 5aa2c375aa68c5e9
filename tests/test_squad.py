import gzip
import json

import pytest

from corpus.errors import ArticleError
from evals.cases import Gold
from evals.squad import read_squad

BRIDGE = "The Ost bridge  was opened in May.\nIt cost 40 million euros, the council said."
FERRY = "The ferry carries 300 people in six minutes, every day but Sunday."


def question(text, *answers, **more):
    return {
        "id": "same",
        "question": text,
        "answers": [{"text": a, "answer_start": 0} for a in answers],
        **more,
    }


DATA = {
    "version": "v2.0",
    "data": [
        {
            "title": "Ost_crossings",
            "paragraphs": [
                {
                    "context": BRIDGE,
                    "qas": [question("What did the bridge cost?", "40 million euros", "40 million")],
                },
                {
                    "context": FERRY,
                    "qas": [
                        question("How many people does the ferry carry?", "300"),
                        question(
                            "Who steers the ferry?", is_impossible=True, plausible_answers=[{"text": "300"}]
                        ),
                    ],
                },
            ],
        },
        {
            "paragraphs": [
                {"context": "Owls hunt by night.", "qas": [question("When do owls hunt?", "by night")]}
            ]
        },
    ],
}


@pytest.fixture(params=["squad.json", "squad.json.gz"])
def path(request, tmp_path):
    path = tmp_path / request.param
    data = json.dumps(DATA).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_titles_become_articles_and_questions_cases(path):
    articles, cases = read_squad(path)
    assert next(article.title for article in articles) == "Ost crossings" and len(articles) == 2
    for case in cases:
        if case.gold:
            (gold,) = case.gold
            text = next(a.text for a in articles if a.id == gold.article_id)
            assert all(span in text[gold.start : gold.end] for span in case.spans)
    assert cases[0].spans == ("40 million euros", "40 million") and cases[0].gold == (Gold("squad-1", 0, 77),)
    assert [case.answerable for case in cases] == [True, True, False, True]
    assert len({case.id for case in cases}) == 4


def test_a_choice_is_the_same_for_a_seed(path):
    assert read_squad(path, limit=2, seed=3) == read_squad(path, limit=2, seed=3)
    articles, cases = read_squad(path, most_articles=1, seed=1)
    assert len(articles) == 1 and {case.gold[0].article_id for case in cases if case.gold} == {articles[0].id}


def test_the_command_scores_paragraphs_and_spans(rag, path, tmp_path):
    done = rag("eval", "--squad", path, "--json", library=tmp_path / "unused")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and not (tmp_path / "unused").exists()
    assert report["summary"]["evidence_hit@5"]["value"] == 1.0
    scores = {case["question"]: case["scores"] for case in report["cases"]}
    assert scores["What did the bridge cost?"]["contains_span"] == 1.0
    assert 0 < scores["What did the bridge cost?"]["span_f1"] < 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"data": {}}',
        '{"data": []}',
        '{"data": [3]}',
        '{"data": [{"paragraphs": [{"qas": []}]}]}',
        '{"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}',
        "[" * 100000,
    ],
)
def test_a_malformed_file_is_one_line(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ArticleError, match=r"bad\.json") as raised:
        read_squad(tmp_path / "bad.json")
    assert "\n" not in str(raised.value)
