"""The recipe of the evidence weights runs end to end on a tiny sample made here."""

import gzip
import json
import subprocess
import sys

from rag.evidence import SIGNALS, fitted, least_confidence
from rag.training.__main__ import NQ, SQUAD

BRIDGES = {"Tern": 1931, "Heron": 1947, "Plover": 1902, "Egret": 1988, "Curlew": 1964, "Gull": 2003}


def write(path, text):
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)


def test_the_recipe_runs_end_to_end(tmp_path):
    articles, records = [], []
    for name, year in BRIDGES.items():
        text = f"The {name} bridge was opened in {year} by the mayor of the town. Cars and trams cross it every day."
        question = f"When was the {name} bridge opened?"
        asked = {"question": question, "answers": [{"text": str(year)}], "is_impossible": False}
        near = {"question": f"When was the {name} bridge closed?", "answers": [], "is_impossible": True}
        articles.append({"title": name, "paragraphs": [{"context": text, "qas": [asked, near]}]})
        passage = {
            "title": f"{name} Tower",
            "text": f"The {name} tower has {year - 1800} steps and a bell on top of it.",
        }
        record = {
            "question": f"how many steps has the {name} tower",
            "answers": [str(year - 1800)],
            "ctxs": [passage],
        }
        records.append(json.dumps(record))
    write(tmp_path / SQUAD, json.dumps({"data": articles}))
    write(tmp_path / NQ, "\n".join(records))
    output = tmp_path / "evidence.json"
    command = [
        sys.executable,
        "-m",
        "rag.training",
        str(tmp_path),
        "--questions",
        "18",
        "--output",
        str(output),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(output.read_text())
    assert set(made["rank"]["weights"]) == set(SIGNALS)
    assert made["made"]["held_out"]["first sentence contains the answer"] > 0.5


def test_the_shipped_weights_load():
    assert len(fitted("rank").weights) == len(fitted("confidence").weights) == len(SIGNALS)
    assert 0 < least_confidence() < 1
