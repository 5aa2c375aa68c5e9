"""Whether follow-ups made to stand alone find more than as they are asked: ``python -m evals.bench.followup DATA``.

CANARD (Elgohary et al., EMNLP 2019): each turn is to find its answer among all the answers, with their pages' titles
and headings; mean reciprocal rank by the embedder's cosine. TREC CAsT 2019 and 2020 (Dalton et al.) come without
passages here: the cosine of each turn and its form as people rewrote it. A conversation goes on from our own rewrites,
never from people's, but for the first turn that a file shows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evals.uncertainty import bootstrap_mean
from index.embed import QuestionEncoder, Vectors
from rag.followup import stand_alone

_LEAST_ANSWER_WORDS = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """A question as asked, as we and as people make it stand alone, and the number of the answer that it is to find."""

    asked: str
    ours: str
    theirs: str
    target: int = 0


def canard(path: Path, half: str) -> tuple[list[Turn], list[str]]:
    """Return the turns of half the conversations, and the answers; the first turn of each only begins it."""
    conversations: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for record in json.load(file):
            conversations[record["QuAC_dialog_id"]][record["Question_no"]] = record
    turns: list[Turn] = []
    answers: list[str] = []
    for name, records in conversations.items():
        if (zlib.crc32(name.encode()) % 2 == 0) == (half == "report"):
            continue
        previous: list[str] = []
        for number in sorted(records):
            asked, theirs = records[number]["Question"], records[number]["Rewrite"]
            began = number - 1 in records
            ours = stand_alone(asked, previous) if began else theirs
            previous.append(ours)
            title, heading, *_, question, answer = records.get(number + 1, {}).get("History", [""] * 4)
            if question.strip() == asked.strip() and len(answer.split()) >= _LEAST_ANSWER_WORDS:
                answers.append(f"{title}. {heading}. {answer}")
                turns += [Turn(asked, ours, theirs, len(answers) - 1)] if began else []
    return turns, answers


def cast(asked: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> list[Turn]:
    """Return the turns after each conversation's first."""
    turns: list[Turn] = []
    for questions, rewrites in zip(asked, theirs, strict=True):
        previous = [questions[0]]
        for question, rewrite in zip(questions[1:], rewrites[1:], strict=True):
            turns.append(Turn(question, stand_alone(question, previous), rewrite))
            previous.append(turns[-1].ours)
    return turns


def cast_2019(folder: Path) -> list[Turn]:
    """Return CAsT 2019's evaluation turns."""
    topics = json.loads((folder / "evaluation_topics_v1.0.json").read_text())
    lines = (folder / "evaluation_topics_annotated_resolved_v1.0.tsv").read_text().splitlines()
    resolved = dict(line.split("\t", 1) for line in lines if "\t" in line)
    asked = [[turn["raw_utterance"] for turn in topic["turn"]] for topic in topics]
    theirs = [[resolved[f"{topic['number']}_{turn['number']}"] for turn in topic["turn"]] for topic in topics]
    return cast(asked, theirs)


def cast_2020(path: Path) -> list[Turn]:
    """Return CAsT 2020's evaluation turns."""
    topics = json.loads(path.read_text())
    fields = ("raw_utterance", "manual_rewritten_utterance")
    asked, theirs = ([[turn[field] for turn in topic["turn"]] for topic in topics] for field in fields)
    return cast(asked, theirs)


def reciprocal_ranks(questions: Vectors, turns: Sequence[Turn], answers: Vectors) -> list[float]:
    """Return 1 / the rank of each turn's answer among the answers."""
    scores = questions @ answers.T
    own = scores[np.arange(len(turns)), [turn.target for turn in turns]]
    return [1.0 / (1 + int(above)) for above in (scores > own[:, None]).sum(axis=1)]


def table(name: str, turns: Sequence[Turn], answers: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a set's table: reciprocal ranks where there are ``answers``, else cosines."""
    encode = QuestionEncoder().encode
    touched = sum(turn.ours != turn.asked for turn in turns) / len(turns)
    alone = [turn for turn in turns if turn.asked.strip() == turn.theirs.strip()]
    harmed = sum(turn.ours != turn.asked for turn in alone)
    yield f"{name}: {len(turns)} turns, {touched:.0%} rewritten; {harmed} of the {len(alone)} that people left as they are"
    ways = {
        "as asked": encode([t.asked for t in turns]),
        "made to stand alone": encode([t.ours for t in turns]),
        "by people": encode([t.theirs for t in turns]),
    }
    targets = encode(answers) if answers else ways["by people"]
    for way, vectors in ways.items():
        values = reciprocal_ranks(vectors, turns, targets) if answers else (vectors * targets).sum(axis=1)
        mean = bootstrap_mean([float(value) for value in values])
        yield f"  {way:20} {'MRR' if answers else 'cosine'} {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench.followup", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--half", choices=("choose", "report"), default="report", help="of CANARD")
    options = parser.parse_args()
    turns, answers = canard(options.data / "canard/data/release/dev.json.gz", options.half)
    print("\n".join(table("CANARD", turns, answers)), flush=True)
    casts = options.data / "trec_cast"
    print("\n".join(table("CAsT 2019", cast_2019(casts / "2019/data/evaluation"), ())), flush=True)
    print(
        "\n".join(table("CAsT 2020", cast_2020(casts / "2020/2020_manual_evaluation_topics_v1.0.json"), ()))
    )


if __name__ == "__main__":
    main()
