"""``python -m rag.training DATA``: fit the evidence weights on public questions.

DATA holds squad2_part and lost_in_the_middle_nq. Articles, never questions, are split into a part to fit on and a part to
report on. Each question is asked of the whole pooled library, and once more with its article left out, when
abstaining is right. Writes rag/weights/evidence.json; prints figures on the held-out part.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus.readers import parse_article
from index.embed import QuestionEncoder, Vectors, set_offline
from index.library import Library
from rag.evidence import SIGNALS, Candidate, Logistic, candidates
from rag.retrieve import TOP_K, retrieve

SQUAD = "squad2_part/squad2_part.json.gz"
NQ = "lost_in_the_middle_nq/qa_data/nq-open-oracle.jsonl.gz"
HELD_OUT_SHARE = 0.3
OUTPUT = Path(__file__).parents[1] / "weights" / "evidence.json"


@dataclass(frozen=True, slots=True)
class Question:
    """A public question: its article, and the gold spans (none where unanswerable)."""

    text: str
    article_id: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's candidates and whether each contains a gold span; ``kind``: asked, left out or near miss."""

    question: Question
    kind: str
    candidates: list[Candidate]
    right: list[bool]


def read_squad(path: Path) -> tuple[dict[str, str], list[Question]]:
    """Return the articles' texts by title, and the questions, of a file in SQuAD 2.0's format."""
    texts: dict[str, str] = {}
    questions: list[Question] = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        title = article["title"].replace("_", " ")
        texts[title] = "\n\n".join(" ".join(p["context"].split()) for p in article["paragraphs"])
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answers = tuple({" ".join(answer["text"].split()) for answer in qa["answers"]})
                questions.append(Question(qa["question"], title, () if qa["is_impossible"] else answers))
    return texts, questions


def read_nq(path: Path) -> tuple[dict[str, str], list[Question]]:
    """Return the passages by title, and the questions, of the open Natural Questions with gold passages."""
    texts: dict[str, list[str]] = {}
    questions: list[Question] = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for record in map(json.loads, file):
            title, passage = record["ctxs"][0]["title"], " ".join(record["ctxs"][0]["text"].split())
            texts.setdefault(title, [])
            if passage not in texts[title]:
                texts[title].append(passage)
            questions.append(Question(record["question"], title, tuple(record["answers"])))
    return {title: "\n\n".join(passages) for title, passages in texts.items()}, questions


def _show_progress(stage: str, done: int, total: int) -> None:
    print(f"\r{stage} {done}/{total}", end="", file=sys.stderr, flush=True)


class _Cached:
    """The encoder with every text's vector kept: sentences come back for many questions."""

    def __init__(self) -> None:
        self._encoder = QuestionEncoder()
        self._known: dict[str, Vectors] = {}

    def __call__(self, texts: list[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(missing, self._encoder.encode(missing), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, 384), np.float32)


def ask_all(library: Library, ids: dict[str, str], questions: Sequence[Question]) -> Iterator[Asked]:
    """Ask each question of the library, and answerable ones again with their article left out."""
    encode = _Cached()
    for number, question in enumerate(questions, start=1):
        vector = encode([question.text])[0]
        others = tuple(i for title, i in ids.items() if title != question.article_id)
        for kind, among in (("asked", ()), ("left out", others)):
            if kind == "left out" and not question.answers:
                continue
            passages = retrieve(library, question.text, vector, TOP_K, among)
            found = candidates(question.text, vector, passages, encode)
            right = [
                kind == "asked" and any(a.lower() in c.quote.text.lower() for a in question.answers)
                for c in found
            ]
            yield Asked(question, "near miss" if not question.answers else kind, found, right)
        if number % 50 == 0:
            _show_progress("questions", number, len(questions))
    print(file=sys.stderr)


def _fit(rows: Sequence[Sequence[float]], labels: Sequence[bool]) -> Logistic:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(np.array(rows), np.array(labels))
    return Logistic(tuple(round(float(w), 4) for w in model.coef_[0]), round(float(model.intercept_[0]), 4))


def _as_json(fit: Logistic) -> dict[str, Any]:
    return {"weights": dict(zip(SIGNALS, fit.weights, strict=True)), "constant": fit.constant}


def _firsts(asked: Sequence[Asked], rank: Logistic) -> tuple[list[tuple[float, ...]], list[bool]]:
    """The signals of each question's best-ranked sentence, and whether it is right."""
    pairs = (zip(a.candidates, a.right, strict=True) for a in asked)
    best = [max(pair, key=lambda scored: rank.logit(scored[0].signals)) for pair in pairs]
    return [candidate.signals for candidate, _ in best], [right for _, right in best]


def _chances(confidence: Logistic, rows: Sequence[Sequence[float]]) -> Any:
    return np.array([confidence.probability(row) for row in rows])


def choose_threshold(asked: Sequence[Asked], rank: Logistic, confidence: Logistic) -> float:
    """Return the threshold with the best sum of right answers shown and left-out questions refused."""
    rows, right = _firsts(asked, rank)
    chances, truth = _chances(confidence, rows), np.array(right)
    left_out = np.array([a.kind == "left out" for a in asked])
    gains = {
        t: (chances[truth] >= t).mean() + (chances[left_out] < t).mean() for t in np.arange(0.05, 0.95, 0.01)
    }
    return round(float(max(gains, key=lambda t: gains[t])), 2)


def report(asked: Sequence[Asked], rank: Logistic, confidence: Logistic, threshold: float) -> dict[str, Any]:
    """Return the figures over these questions."""
    from sklearn.metrics import roc_auc_score

    rows, right = _firsts(asked, rank)
    chance = _chances(confidence, rows)
    kinds, truth, shown = np.array([a.kind for a in asked]), np.array(right), chance >= threshold
    bins = np.minimum((chance * 10).astype(int), 9)
    error = sum(
        abs(chance[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    )
    answerable = kinds == "asked"
    figures = {
        "first sentence contains the answer": truth[answerable].mean(),
        "answered, of answerable": shown[answerable].mean(),
        "right, of answered": truth[answerable & shown].mean(),
        "abstained, article left out": 1 - shown[kinds == "left out"].mean(),
        "abstained, near misses": 1 - shown[kinds == "near miss"].mean(),
        "confidence AUC": roc_auc_score(truth, chance),
        "expected calibration error": error,
    }
    return {"questions": int(answerable.sum())} | {
        name: round(float(value), 4) for name, value in figures.items()
    }


def main() -> None:
    """Fit, report and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m rag.training", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of public data")
    parser.add_argument("--questions", type=int, default=2500, help="how many to sample")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    set_offline()
    chooser = random.Random(options.seed)
    squad, squad_questions = read_squad(options.data / SQUAD)
    nq, nq_questions = read_nq(options.data / NQ)
    texts = nq | squad
    held_out = {
        x for part in (squad, nq) for x in chooser.sample(sorted(part), round(len(part) * HELD_OUT_SHARE))
    }
    half = options.questions // 2
    questions = [
        q for part in (squad_questions, nq_questions) for q in chooser.sample(part, min(half, len(part)))
    ]
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        titles = {Path(folder) / f"{number}.md": title for number, title in enumerate(texts)}
        articles = [parse_article(f"# {t}\n\n{texts[t]}".encode(), path) for path, t in titles.items()]
        library.add(articles, _show_progress)
        sources = library.sources(listing.id for listing in library.listings())
        ids = {titles[Path(source)]: article_id for article_id, source in sources.items()}
        asked = [a for a in ask_all(library, ids, questions) if a.candidates]
    fitting = [a for a in asked if a.question.article_id not in held_out]
    reporting = [a for a in asked if a.question.article_id in held_out]
    pairs = [
        (c.signals, r) for a in fitting if any(a.right) for c, r in zip(a.candidates, a.right, strict=True)
    ]
    rank = _fit([signals for signals, _ in pairs], [right for _, right in pairs])
    confidence = _fit(*_firsts(fitting, rank))
    threshold = choose_threshold(fitting, rank, confidence)
    figures = report(reporting, rank, confidence, threshold)
    made = {"questions": options.questions, "seed": options.seed, "held_out": figures}
    result = {
        "rank": _as_json(rank),
        "confidence": _as_json(confidence),
        "threshold": threshold,
        "made": made,
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
