"""Cases -> trials: each case's question is put to the same Assistant that people ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evals.cases import Case
from evals.score import Mean, fact_recall, invented_numbers, mean, token_f1
from rag.answer import Answer
from rag.assistant import Assistant


@dataclass(frozen=True, slots=True)
class Trial:
    """A case and the answer that it got."""

    case: Case
    answer: Answer

    @property
    def scores(self) -> dict[str, float]:
        """The scores that apply to this case, by metric."""
        case, answer = self.case, self.answer
        abstained = answer.status == "abstained"
        quotes = " ".join(quote.text for passage in answer.passages for quote in passage.quotes)
        scores = {
            "seconds": answer.timings.total_ms / 1000,
            "invented_numbers": float(invented_numbers(" ".join(s.text for s in answer.sentences), quotes)),
        }
        if not case.answerable:
            return scores | {"abstention_recall": float(abstained)}
        scores["answered"] = float(not abstained)
        scores["retrieval_hit"] = float(any(p.article_id == case.article_id for p in answer.passages))
        scores["cites_article"] = float(
            any(p.article_id == case.article_id for p in answer.passages if p.cited)
        )
        scores["token_f1"] = token_f1(answer.answer, case.reference)
        if (recall := fact_recall(answer.answer, case.facts)) is not None:
            scores["key_facts"] = recall
        return scores


def run_cases(
    assistant: Assistant, cases: Sequence[Case], progress: Callable[[str, int, int], None]
) -> list[Trial]:
    """Ask every case's question, in order."""
    trials = []
    for done, case in enumerate(cases, start=1):
        trials.append(Trial(case, assistant.ask(case.question)))
        progress("examining", done, len(cases))
    return trials


def summarize(trials: Sequence[Trial]) -> dict[str, Mean]:
    """Return each metric's mean over the cases that it applies to."""
    values: dict[str, list[float]] = {}
    for trial in trials:
        for metric, value in trial.scores.items():
            values.setdefault(metric, []).append(value)
    return {metric: mean(found) for metric, found in sorted(values.items())}
