"""Cases -> trials: each case's question is put to the same Assistant that people ask."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from corpus.errors import RagError
from evals.cases import Case, Gold, key_facts
from evals.score import (
    citation_precision,
    citation_recall,
    exact_match,
    fact_precision,
    fact_recall,
    invented_numbers,
    mrr,
    ndcg_at_k,
    recall_at_k,
    rouge_l,
    token_f1,
    unsupported_rate,
)
from rag.answer import Answer, ModelIdentity, Passage, Quote, Sentence, Timings
from rag.assistant import Assistant
from rag.check import supports
from rag.followup import stand_alone

Progress = Callable[[str, int, int], None]
_RIGHT_SHARE = 0.5  # of the key facts, from which an answer counts as right


@dataclass(frozen=True, slots=True)
class Trial:
    """A case and the answer that it got; ``similarity`` is the cosine of answer and reference."""

    case: Case
    answer: Answer
    similarity: float = 0.0

    @property
    def abstained(self) -> bool:
        """Whether the assistant said that the articles do not answer."""
        return self.answer.status == "abstained"

    @property
    def said(self) -> str:
        """The answer's sentences without their markers; empty if it abstained."""
        return " ".join(sentence.text for sentence in self.answer.sentences)

    @property
    def right(self) -> bool:
        """Whether an answer was given and has half of the key facts, or without any cites the right article."""
        if self.abstained or not self.case.answerable:
            return False
        if self.case.spans:
            return self._has_span()
        recall = fact_recall(self.said, self.case.facts)
        return self._cites_article() if recall is None else recall >= _RIGHT_SHARE

    def _has_span(self) -> bool:
        said = self.said.casefold()
        return any(span.casefold() in said for span in self.case.spans)

    def _cites_article(self) -> bool:
        return any(p.article_id in self.case.article_ids for p in self.answer.passages if p.cited)

    @property
    def went_wrong(self) -> str:
        """Where it went wrong: "" (nowhere), "abstention", "retrieval" or "reading"."""
        if not self.case.answerable:
            return "" if self.abstained else "abstention"
        if self.right:
            return ""
        found = any(p.article_id in self.case.article_ids for p in self.answer.passages)
        stated = " ".join(p.text for p in self.answer.passages)
        if not found or fact_recall(stated, self.case.facts) == 0.0:
            return "retrieval"
        return "abstention" if self.abstained else "reading"

    @property
    def scores(self) -> dict[str, float]:
        """The scores that apply to this case, by metric."""
        scores = {"seconds": self.answer.timings.total_ms / 1000} | self._support()
        scores["tokens"] = float(self.answer.timings.prompt_tokens + self.answer.timings.completion_tokens)
        if not self.case.answerable:
            return scores | {"abstained": float(self.abstained)}
        return scores | self._retrieval() | self._reading() | self._against_gold()

    def _support(self) -> dict[str, float]:
        """Scores of what is shown against what is cited; they need no reference."""
        answer = self.answer
        quotes = {p.number: [quote.text for quote in p.quotes] for p in answer.passages}
        every = " ".join(text for texts in quotes.values() for text in texts)
        scores = {"invented_numbers": float(invented_numbers(self.said, every))}
        if answer.sentences:
            context = " ".join(p.place for p in answer.passages if p.cited)
            cited = [(s.text, [t for n in s.citations for t in quotes.get(n, [])]) for s in answer.sentences]

            def supported(premise: str, claim: str) -> bool:
                return claim in premise or supports(premise, claim, context)

            scores["unsupported"] = unsupported_rate(cited, supported)
            scores["citation_recall"] = citation_recall(cited, supported)
            scores["citation_precision"] = citation_precision(cited, supported)
        return scores

    def _retrieval(self) -> dict[str, float]:
        case, passages = self.case, self.answer.passages
        ranked = list(dict.fromkeys(passage.article_id for passage in passages))
        first = next((a for a in ranked if a in case.article_ids), "")
        scores = {
            "retrieval_hit": float(bool(first)),
            "article_mrr": mrr(ranked, case.article_ids),
            "article_ndcg@10": ndcg_at_k(ranked, case.article_ids, 10),
            "article_recall@10": recall_at_k(ranked, case.article_ids, 10),
        }
        stated = fact_recall(" ".join(passage.text for passage in passages), case.facts)
        return scores if stated is None else scores | {"evidence_recall": stated}

    def _against_gold(self) -> dict[str, float]:
        """Scores for the cases whose paragraph and answer are known word for word."""
        case, answer = self.case, self.answer
        if case.gold is None:
            return {}
        pairs = [(sentence.text, span) for sentence in answer.sentences for span in case.spans]
        ranks = [n for n, passage in enumerate(answer.passages, start=1) if _within(passage, case.gold)]
        return {
            **{f"paragraph_recall@{k}": float(any(rank <= k for rank in ranks)) for k in (1, 5)},
            "contains_span": float(self._has_span()),
            "exact_match": max((exact_match(*pair) for pair in pairs), default=0.0),
            "span_f1": max((token_f1(*pair) for pair in pairs), default=0.0),
            "cites_paragraph": float(any(p.cited and _within(p, case.gold) for p in answer.passages)),
        }

    def _reading(self) -> dict[str, float]:
        case, said = self.case, self.said
        scores = {"answered": float(not self.abstained), "right": float(self.right)}
        scores["cites_article"] = float(self._cites_article())
        if case.reference:
            scores |= {"token_f1": token_f1(said, case.reference), "rouge_l": rouge_l(said, case.reference)}
            scores["similarity"] = self.similarity
        if (recall := fact_recall(said, case.facts)) is not None:
            scores["key_facts"] = recall
        own = key_facts(said, case.question)
        stated = f"{case.reference} {' '.join(p.text for p in self.answer.passages)}"
        if (precision := fact_precision(own, stated)) is not None:
            scores["key_fact_precision"] = precision
        return scores


def _within(passage: Passage, gold: Gold) -> bool:
    """Whether a passage shares text with the paragraph."""
    return passage.article_id == gold.article_id and passage.start < gold.end and gold.start < passage.end


def run_cases(
    assistant: Assistant, cases: Sequence[Case], progress: Progress, keep: Path | None = None
) -> list[Trial]:
    """Ask every case's question, in order; with ``keep``, a folder, an interrupted run goes on where it was.

    Raises RagError if the library is changed meanwhile.
    """
    generation = assistant.library.generation
    trials = []
    with _Journal(keep, assistant, cases) as journal:
        for done, case in enumerate(cases, start=1):
            trials.append(journal.known.get(case.id) or _ask(assistant, case))
            if trials[-1].answer.library_generation != generation:
                raise RagError(f"{assistant.library.folder}: changed during the examination; run it again")
            journal.add(trials[-1])
            progress("examining cases", done, len(cases))
    return trials


def _ask(assistant: Assistant, case: Case) -> Trial:
    previous: str | None = None
    for question in case.previous:
        previous = stand_alone(question, previous)
    answer = assistant.ask(case.question, previous=previous, article_ids=case.among)
    if not case.reference or answer.status == "abstained":
        return Trial(case, answer)
    trial = Trial(case, answer)
    one, other = assistant.encode([trial.said, case.reference])
    return replace(trial, similarity=round(float(one @ other), 4))


class _Journal:
    """The trials of a run, a line each, until it is complete."""

    def __init__(self, folder: Path | None, assistant: Assistant, cases: Sequence[Case]) -> None:
        self.known: dict[str, Trial] = {}
        self._path: Path | None = None
        if folder is not None:
            subject = [assistant.library.generation, str(assistant.library.folder.resolve())]
            made = json.dumps([*subject, assistant.model.sha256, [asdict(case) for case in cases]])
            self._path = folder / f"examination-{hashlib.sha256(made.encode()).hexdigest()[:16]}.jsonl"

    def __enter__(self) -> _Journal:
        if self._path is not None and self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut short
                    trial = _trial(json.loads(line))
                    self.known[trial.case.id] = trial
        return self

    def add(self, trial: Trial) -> None:
        """Keep a trial that is not kept yet."""
        if self._path is not None and trial.case.id not in self.known:
            with contextlib.suppress(OSError):  # a run that cannot be kept is still a run
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(trial)) + "\n")

    def __exit__(self, failed: object, *_: object) -> None:
        if self._path is not None and failed is None:
            self._path.unlink(missing_ok=True)


def _trial(fields: dict[str, Any]) -> Trial:
    case: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields["case"].items()}
    if case["gold"] is not None:
        case["gold"] = Gold(*case["gold"])
    return Trial(Case(**case), _answer(fields["answer"]), fields["similarity"])


def _answer(fields: dict[str, Any]) -> Answer:
    passages = [
        replace(Passage(**p), quotes=tuple(Quote(**q) for q in p["quotes"])) for p in fields["passages"]
    ]
    sentences = [replace(Sentence(**s), citations=tuple(s["citations"])) for s in fields["sentences"]]
    made = {"model": ModelIdentity(**fields["model"]), "timings": Timings(**fields["timings"])}
    return Answer(**{**fields, **made, "passages": tuple(passages), "sentences": tuple(sentences)})


def by_slice(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Return the trials of each slice."""
    return _grouped(trials, lambda trial: [trial.case.slice])


def by_article(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Return the trials of the cases that each article answers."""
    return _grouped(trials, lambda trial: trial.case.article_ids)


def _grouped(trials: Sequence[Trial], keys: Callable[[Trial], Sequence[str]]) -> dict[str, list[Trial]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        for key in keys(trial):
            groups.setdefault(key, []).append(trial)
    return groups


def values(trials: Sequence[Trial]) -> Iterator[tuple[str, float]]:
    """Yield each score of each trial with its metric."""
    for trial in trials:
        yield from trial.scores.items()
