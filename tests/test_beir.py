import gzip
import json

import pytest

from corpus.errors import ArticleError
from evals.beir import Query, Ranking, read_beir

DOCUMENTS = [
    {"_id": "d/1", "title": "Bridge", "text": "The Ost bridge cost 40 million euros."},
    {"_id": "d 2", "title": "", "text": "The ferry carries 300 people in six minutes."},
    {"_id": "d3", "title": "Owls", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "What did the Ost bridge cost?"}, {"_id": "q2", "text": "ferry passengers"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td/1\t2\nq1\td3\t0\nq2\td 2\t1\n"


def write(folder, documents=DOCUMENTS, queries=QUERIES, qrels=QRELS):
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, documents)).encode()))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels" / "test.tsv").write_text(qrels)


def test_the_command_ranks_documents(rag, tmp_path):
    write(tmp_path)
    done = rag("eval", "--beir", tmp_path, "--json", library=tmp_path / "unused")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and not (tmp_path / "unused").exists()
    assert report["summary"]["ndcg@10"]["value"] == 1.0 and report["cases"][0]["ranked"][0] == "d/1"
    done = rag("eval", "--beir", tmp_path, "--limit", "1", library=tmp_path)
    assert "3 documents, 1 queries" in done.stdout and "recall@100" in done.stdout
    done = rag("eval", "--beir", tmp_path, "--html", tmp_path / "a.html", library=tmp_path)
    assert done.returncode == 2 and "no answers to report" in done.stderr


def test_scores_of_a_ranking():
    scores = Ranking(Query("q", "?", {"a": 2.0, "b": 1.0, "c": 0.0}), ("c", "b", "a")).scores
    assert scores["mrr@10"] == 0.5 and scores["recall@1"] == 0.0 and scores["recall@5"] == 1.0
    assert scores["ndcg@10"] == pytest.approx((1 / 1.5849625 + 2 / 2) / (2 + 1 / 1.5849625))


@pytest.mark.parametrize(
    "broken",
    [
        {"documents": [3]},
        {"documents": [{"_id": "a"}]},
        {"documents": []},
        {"queries": [{"text": "no id"}]},
        {"qrels": "query-id\tcorpus-id\tscore\nq1\td1\n"},
        {"qrels": "query-id\tcorpus-id\tscore\nq1\td1\tmuch\n"},
        {"qrels": ""},
    ],
)
def test_a_malformed_folder_is_one_line(tmp_path, broken):
    write(tmp_path, **broken)
    with pytest.raises(ArticleError) as raised:
        read_beir(tmp_path)
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


def test_a_folder_without_its_files_is_one_line(tmp_path):
    with pytest.raises(ArticleError, match="BEIR"):
        read_beir(tmp_path)
