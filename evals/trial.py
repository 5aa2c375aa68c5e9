"""Trials: a case with the answer that it got, and the scores of the pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from rag.answer import Answer, Passage
from rag.check import supports

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
        return scores | self._retrieval() | self._finding() | self._reading() | self._spans()

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
        return scores if stated is None else scores | {"facts_found": stated}

    def _finding(self) -> dict[str, float]:
        """Scores of what was found and cited against where the articles are known to answer."""
        gold, passages = self.case.gold, self.answer.passages
        if not gold:
            return {}
        ranked = list(dict.fromkeys(_gold_of(passage, gold) for passage in passages))
        relevant = [str(n) for n in range(len(gold))]
        cited = [_gold_of(passage, gold) in relevant for passage in passages if passage.cited]
        scores = {
            "evidence_hit@1": float(bool(ranked) and ranked[0] in relevant),
            "evidence_hit@5": float(any(found in relevant for found in ranked[:5])),
            "evidence_mrr": mrr(ranked, relevant),
            "evidence_ndcg@10": ndcg_at_k(ranked, relevant, 10),
            "evidence_recall@10": recall_at_k(ranked, relevant, 10),
            "cites_evidence": float(any(cited)),
        }
        return scores | ({"cited_evidence_share": sum(cited) / len(cited)} if cited else {})

    def _spans(self) -> dict[str, float]:
        """Scores for the cases whose answer is known word for word."""
        if not self.case.spans:
            return {}
        pairs = [(sentence.text, span) for sentence in self.answer.sentences for span in self.case.spans]
        return {
            "contains_span": float(self._has_span()),
            "exact_match": max((exact_match(*pair) for pair in pairs), default=0.0),
            "span_f1": max((token_f1(*pair) for pair in pairs), default=0.0),
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


def _gold_of(passage: Passage, gold: Sequence[Gold]) -> str:
    """The number of the first gold run that a passage shares text with; the passage's place without one."""
    for number, (article_id, start, end) in enumerate(gold):
        if passage.article_id == article_id and passage.start < end and start < passage.end:
            return str(number)
    return f"{passage.article_id}:{passage.start}"


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
