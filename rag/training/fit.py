"""Fits the logistic regressions over all signals, on questions that the reader was not trained on, and reports on others.

Each question is asked of the whole library, and an answerable one once more with its article left out, when
abstaining is right.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from index.chunk import Chunk
from index.embed import QuestionEncoder, Vectors
from index.library import Library, Progress
from rag.answer import Passage, Quote
from rag.evidence import (
    CONFIDENCE_SIGNALS,
    SIGNALS,
    Candidate,
    Evidence,
    by_rank,
    candidates,
    confidence_signals,
    ranked,
)
from rag.logistic import WEIGHTS, Logistic
from rag.reader import ReadSentence
from rag.retrieve import PASSAGE_SIGNALS, READ, TOP_K, Read, passage_signals, rank_chunks, retrieve
from rag.selection import best_evidence
from rag.training.balance import odds_by_words
from rag.training.sets import WRITTEN_POOL, Part, Pool, Question, dossier_of

FITTED_ON = ("SQuAD", "NQ", "QED", "SelQA", "COVID-QA", WRITTEN_POOL)
"""The sets whose questions name what they are about; only such can be asked of a library of many articles."""
_LONGEST_ANSWER = 160  # characters: a longer gold span is a passage, of which a sentence may show a part
_LARGEST_SHARE = 2 / 3  # of the questions, that may be of one set
_OFF_TOPIC = 3  # of so many questions of dossiers one is asked of another dossier too
_LARGEST_WEIGHT = 10.0  # of a question, where what its words tell is set aside
_LOST = 0.05  # of the right answers, to abstaining
Kind = Literal["asked", "left out", "near miss"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question put to the library: the sentences that were found with their signals, and which of them are right."""

    pool: str
    question: Question
    kind: Kind
    candidates: list[Candidate]
    right: list[bool]
    passage_right: bool
    passages: list[Passage]
    pieces: tuple[str, ...] = ()
    """The texts of its answers, where it needs all of them."""

    @property
    def right_ones(self) -> set[Candidate]:
        """The candidates that are right."""
        return {c for c, right in zip(self.candidates, self.right, strict=True) if right}


class Memo:
    """Keeps what was read, in a file too: a question is asked more than once, and a fit made more than once."""

    def __init__(self, read: Read, file: Path) -> None:
        self._read = read
        self._encoder = QuestionEncoder()
        self._readings: dict[tuple[str, str, int], tuple[ReadSentence, ...]] = {}
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                question, article_id, number, sentences = json.loads(line)
                self._readings[question, article_id, number] = tuple(ReadSentence(*one) for one in sentences)
        self._file = file.open("a", encoding="utf-8", buffering=1)

    def encode(self, question: str) -> Vectors:
        """Return a question's unit vector."""
        vector: Vectors = self._encoder.encode([question])[0]
        return vector

    def read(self, question: str, chunk: Chunk) -> tuple[ReadSentence, ...]:
        """Return the reader's scores."""
        key = (question, chunk.article_id, chunk.number)
        if key not in self._readings:
            self._readings[key] = read = self._read(question, chunk)
            self._file.write(json.dumps([*key, [astuple(one) for one in read]]) + "\n")
        return self._readings[key]


def sample(pools: Sequence[Pool], part: Part, most: int, seed: int) -> list[tuple[Pool, Question]]:
    """Return at most so many of a part's questions, by chance, of each set at most two thirds of them."""
    here = [(p, q) for p in pools if p.name in FITTED_ON for q in p.questions if p.part_of(q) == part]
    random.Random(seed).shuffle(here)
    taken: list[tuple[Pool, Question]] = []
    counts: Counter[str] = Counter()
    for pool, question in here:
        if counts[pool.name] < _LARGEST_SHARE * most and len(taken) < most:
            counts[pool.name] += 1
            taken.append((pool, question))
    return taken


def _ways(library: Library, question: Question) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    """How a question is asked: the kind, and the articles to search.

    A question of the public sets is asked once more with its article left out; of a dossier's, whose articles share
    facts, every third is asked of another dossier, as what has nothing to do with a library.
    """
    if not question.answerable:
        yield "near miss", question.among
        return
    yield "asked", question.among
    if not question.among:
        yield "left out", tuple(one.id for one in library.listings() if one.id != question.article_id)
    elif zlib.crc32(question.text.encode()) % _OFF_TOPIC == 0 and (
        other := _another_dossier(library, question)
    ):
        yield "left out", other


def _another_dossier(library: Library, question: Question) -> tuple[str, ...]:
    """Return the articles of a dossier that the question is not of; none where there is no other."""
    ids = [one.id for one in library.listings()]
    others = sorted({dossier_of(i) for i in ids} - {dossier_of(question.article_id), ""})
    if not others:
        return ()
    chosen = others[zlib.crc32(question.text[::-1].encode()) % len(others)]
    return tuple(i for i in ids if dossier_of(i) == chosen)


def fit_passages(
    library: Library, memo: Memo, questions: Sequence[tuple[Pool, Question]], progress: Progress
) -> Logistic:
    """Fit the odds that a chunk answers, over the chunks that were found for answerable questions."""
    rows, labels = [], []
    for number, (_, question) in enumerate(questions, start=1):
        if question.answerable:
            vector = memo.encode(question.text)
            for found in rank_chunks(library, question.text, vector, READ, question.among):
                read = memo.read(question.text, found.chunk)
                rows.append(passage_signals(replace(found, read=read)))
                labels.append(_has_gold(question, found.chunk.article_id, found.chunk.start, found.chunk.end))
        progress("passages", number, len(questions))
    return _fit(rows, labels)


def _has_gold(question: Question, article_id: str, start: int, end: int) -> bool:
    return any(s < end and start < e for s, e in question.spans_in(article_id))


def ask_all(
    library: Library, memo: Memo, questions: Sequence[tuple[Pool, Question]], progress: Progress
) -> list[Asked]:
    """Ask every question in each of its ways."""
    asked = []
    for number, (pool, question) in enumerate(questions, start=1):
        places = [(question.article_id, *span) for span in question.spans] + [*question.elsewhere]
        pieces = tuple(pool.articles[identity].text[start:end] for identity, start, end in places)
        answers = {piece.lower() for piece in pieces if len(piece) <= _LONGEST_ANSWER}
        vector = memo.encode(question.text)
        for kind, among in _ways(library, question):
            found = retrieve(library, question.text, vector, TOP_K, among, memo.read)
            sentences = candidates(question.text, found)
            passages = {one.passage.number: one.passage for one in found}
            right = [
                kind == "asked" and _shows(question, answers, c.quote, passages[c.passage]) for c in sentences
            ]
            gold_first = bool(found) and _has_gold(
                question, found[0].passage.article_id, found[0].passage.start, found[0].passage.end
            )
            if sentences:
                asked.append(
                    Asked(
                        pool.name,
                        question,
                        kind,
                        sentences,
                        right,
                        kind == "asked" and gold_first,
                        list(passages.values()),
                        pieces if question.needs_all else (),
                    )
                )
        progress("questions", number, len(questions))
    return asked


def _shows(question: Question, answers: set[str], quote: Quote, passage: Passage) -> bool:
    """Whether a quote holds a gold answer, or is part of one that is as long as a sentence."""
    if any(answer in quote.text.lower() for answer in answers):
        return True
    return any(
        end - start > _LONGEST_ANSWER
        and min(end, quote.end) - max(start, quote.start) > (quote.end - quote.start) / 2
        for start, end in question.spans_in(passage.article_id)
    )


def _fit(rows: Sequence[Sequence[float]], labels: Sequence[bool]) -> Logistic:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=2000).fit(np.array(rows), np.array(labels))
    return Logistic(tuple(round(float(w), 4) for w in model.coef_[0]), round(float(model.intercept_[0]), 4))


def fit_sentences(asked: Sequence[Asked]) -> tuple[Logistic, Logistic, float]:
    """Return the fits of "rank" and "confidence", and the threshold of abstaining."""
    pairs = [
        (c.signals, r) for a in asked if any(a.right) for c, r in zip(a.candidates, a.right, strict=True)
    ]
    rank = _fit([signals for signals, _ in pairs], [right for _, right in pairs])
    confidence = _fit(*_firsts(asked, rank))
    return rank, confidence, choose_threshold(asked, rank, confidence)


def _firsts(asked: Sequence[Asked], rank: Logistic) -> tuple[list[tuple[float, ...]], list[bool]]:
    """The confidence's signals of each question's best-ranked sentence, and whether it is right."""
    best = [by_rank(one.candidates, rank) for one in asked]
    rows = [confidence_signals(scored, 0) for scored in best]
    return rows, [scored[0][1] in one.right_ones for one, scored in zip(asked, best, strict=True)]


def _chances(confidence: Logistic, rows: Sequence[Sequence[float]]) -> Any:
    return np.array([confidence.probability(row) for row in rows])


def choose_threshold(asked: Sequence[Asked], rank: Logistic, confidence: Logistic) -> float:
    """Return the highest threshold that at most a twentieth of the right answers fall below.

    Silence where there is an answer is the worse fault: a person can see that a quote does not fit.
    """
    rows, right = _firsts(asked, rank)
    chances = _chances(confidence, rows)[np.array(right)]
    return float(np.floor(100 * np.quantile(chances, _LOST)) / 100)


_AS_GOOD = 0.002  # of the best gain: where it is as good, fewer sentences are shown
_NEEDLESS = 0.2  # what a sentence too many costs, as a share of an answer
_ODDS = tuple(np.arange(-2.0, 2.01, 0.25))


def choose_joining(asked: Sequence[Asked], rank: Logistic, confidence: Logistic) -> float:
    """Return the log-odds from which a further sentence should join, over the questions that need several answers."""
    whole = [
        (one, ranked(one.candidates, rank, confidence)) for one in asked if one.pieces and one.kind == "asked"
    ]

    def gain(joining: float) -> float:
        shows = [shown_share(one, evidence, joining) for one, evidence in whole]
        return float(np.mean([share - _NEEDLESS * needless for _, needless, share in shows]))

    gains = {joining: gain(joining) for joining in _ODDS} if whole else {0.0: 0.0}
    return float(max(joining for joining, value in gains.items() if value >= max(gains.values()) - _AS_GOOD))


def report(
    asked: Sequence[Asked],
    rank: Logistic,
    confidence: Logistic,
    threshold: float,
    joining: float,
    known: Sequence[tuple[str, bool]],
) -> dict[str, float]:
    """Return the figures over these questions; one that there are no cases of is left out.

    ``known`` are questions of training and whether they are near misses: what their words alone tell is set aside in one
    of the figures.
    """
    rows, right = _firsts(asked, rank)
    chance = _chances(confidence, rows)
    kinds, truth, shown = np.array([a.kind for a in asked]), np.array(right), chance >= threshold
    bins = np.minimum((chance * 10).astype(int), 9)
    error = sum(
        abs(chance[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    )
    answerable, left_out, missed = (kinds == kind for kind in ("asked", "left out", "near miss"))
    shows = [
        shown_share(a, ranked(a.candidates, rank, confidence), joining) for a in asked if a.kind == "asked"
    ]
    missing = {a.pool for a in asked if a.kind == "near miss"} & {a.pool for a in asked if a.kind == "asked"}
    either = np.array([a.pool in missing for a in asked]) & (missed | answerable)
    odds = np.array(odds_by_words(known, [one.question.text for one in asked]))
    weights = np.minimum(1 + np.where(answerable, odds, 1 / odds), _LARGEST_WEIGHT)
    figures = {
        "passage first": _mean(np.array([a.passage_right for a in asked])[answerable]),
        "first sentence contains the answer": _mean(truth[answerable]),
        "answer contains the answer": _mean([share > 0 for _, _, share in shows]),
        "share of the answers shown": _mean([share for _, _, share in shows]),
        "sentences shown": _mean([count for count, _, _ in shows if count]),
        "answered, of answerable": _mean(shown[answerable]),
        "right, of answered": _mean(truth[answerable & shown]),
        "abstained, article left out": _mean(~shown[left_out]),
        "abstained, near misses": _mean(~shown[missed]),
        "near misses AUC": _area(answerable[either], chance[either]),
        "near misses AUC, words set aside": _area(answerable[either], chance[either], weights[either]),
        "confidence AUC": _area(truth, chance),
        "expected calibration error": float(error),
    }
    return {"questions": int(answerable.sum())} | {
        name: round(value, 4) for name, value in figures.items() if value is not None
    }


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _area(truth: Any, chance: Any, weights: Any = None) -> float | None:
    """The area under the ROC curve, None where all cases are of one kind."""
    from sklearn.metrics import roc_auc_score

    both = len(set(truth)) == 2
    return float(roc_auc_score(truth, chance, sample_weight=weights)) if both else None


def shown_share(asked: Asked, evidence: Sequence[Evidence], joining: float) -> tuple[int, int, float]:
    """Return how many sentences an answer shows, how many of them are not right, and the share of the gold answers in them.

    Where the places of one answer are marked wherever it stands, as in all sets but the written ones, one is all.
    """
    shown = best_evidence(asked.question.text, evidence, asked.passages, joining).evidence
    places = {(one.passage, one.quote) for one in shown}
    right = [c for c in asked.right_ones if (c.passage, c.quote) in places]
    needless = len(shown) - len(right)
    if not right or not asked.pieces:
        return len(shown), needless, float(bool(right))
    stated = [any(piece in c.quote.text for c in right) for piece in asked.pieces]
    return len(shown), needless, sum(stated) / len(stated)


def as_json(fit: Logistic, signals: Sequence[str]) -> dict[str, Any]:
    """Return a fit as the weights file has it."""
    return {"weights": dict(zip(signals, fit.weights, strict=True)), "constant": fit.constant}


def write_weights(changes: dict[str, Any], output: Path = WEIGHTS) -> None:
    """Change some parts of the weights file."""
    had = json.loads(output.read_text()) if output.exists() else {}
    output.write_text(json.dumps({**had, **changes}, indent=2, allow_nan=False) + "\n")


def fit_all(
    library: Library,
    pools: Sequence[Pool],
    memo: Memo,
    use: Callable[[dict[str, Any]], None],
    questions: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Fit passages, then sentences and confidence on what those give; return the weights and the report's figures.

    ``use`` makes the fits so far the ones that retrieval uses.
    """
    tuning = sample(pools, "tune", questions, seed)
    fits: dict[str, Any] = {}

    def keep(more: dict[str, Any]) -> None:
        fits.update(more)
        use(more)

    keep({"passage": as_json(fit_passages(library, memo, tuning, progress), PASSAGE_SIGNALS)})
    asked = ask_all(library, memo, tuning, progress)
    rank, confidence, threshold = fit_sentences(asked)
    keep(
        {
            "rank": as_json(rank, SIGNALS),
            "confidence": as_json(confidence, CONFIDENCE_SIGNALS),
            "threshold": threshold,
        }
    )
    joining = choose_joining(asked, rank, confidence)
    keep({"joining": joining})
    reporting = ask_all(library, memo, sample(pools, "report", questions, seed), progress)
    known = [
        (question.text, not question.answerable)
        for pool in pools
        if pool.name == WRITTEN_POOL
        for question in pool.questions
        if pool.part_of(question) == "train"
    ]
    figures = report(reporting, rank, confidence, threshold, joining, known)
    by_set = {
        name: report(there, rank, confidence, threshold, joining, known)
        for name in FITTED_ON
        if len(there := [asked for asked in reporting if asked.pool == name]) > 1
    }
    return {**fits, "made": {"questions": questions, "seed": seed, "report": figures, "by set": by_set}}
