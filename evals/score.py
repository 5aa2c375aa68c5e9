"""Scores of one answer, and of the confidences of a run: pure functions that read nothing and keep nothing.

A ranking is a sequence of distinct ids, best first. What has no cases scores 0, unless its docstring says else.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

from rag.check import common_in_order, numbers_in

CitedSentences = Sequence[tuple[str, Sequence[str]]]
"""Sentences, each with the quotes that it cites."""
Supports = Callable[[str, str], bool]
"""Whether a premise (the first text) supports a claim (the second)."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_MARKER = re.compile(r"\[\d+\]")


# what was found


def recall_at_k(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant ids among the first ``k``."""
    wanted = set(relevant)
    return len(wanted & set(ranked[:k])) / len(wanted) if wanted else 0.0


def mrr(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """Return 1 / the rank of the first relevant id (Voorhees, TREC-8 1999), 0 without one; its mean is the MRR."""
    return next((1 / rank for rank, found in enumerate(ranked, start=1) if found in relevant), 0.0)


def ndcg_at_k(ranked: Sequence[str], gains: Collection[str] | Mapping[str, float], k: int = 10) -> float:
    """Return the nDCG of the first ``k``: discount log2(rank + 1) (Järvelin & Kekäläinen, TOIS 2002).

    ``gains`` are the relevant ids, each of gain 1, or a gain by id, as TREC's judgements give.
    """
    worth = gains if isinstance(gains, Mapping) else dict.fromkeys(gains, 1.0)
    gain = sum(worth.get(found, 0.0) * _discounted(rank) for rank, found in enumerate(ranked[:k], start=1))
    best = sorted(worth.values(), reverse=True)[:k]
    ideal = sum(value * _discounted(rank) for rank, value in enumerate(best, start=1))
    return gain / ideal if ideal else 0.0


def _discounted(rank: int) -> float:
    return 1 / math.log2(rank + 1)


# what was said, against a reference


def token_f1(answer: str, reference: str) -> float:
    """Return SQuAD's token F1 (Rajpurkar et al., EMNLP 2016) of an answer against a reference."""
    said, wanted = _tokens(answer), _tokens(reference)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else float(said == wanted)


def exact_match(answer: str, reference: str) -> float:
    """Return 1 if both are equal but for case, punctuation, articles and [n] markers (Rajpurkar et al., EMNLP 2016)."""
    return float(_tokens(answer) == _tokens(reference))


def _tokens(text: str) -> list[str]:
    """Normalize as SQuAD does; typographic punctuation counts as punctuation too."""
    text = _MARKER.sub(" ", text.lower())
    return _ARTICLES.sub(" ", re.sub(r"[^\w\s]", "", text)).split()


def rouge_l(answer: str, reference: str) -> float:
    """Return ROUGE-L's F-measure (Lin, 2004) without stemming, as the package rouge-score does; [n] markers aside."""
    said, wanted = _rouge_tokens(answer), _rouge_tokens(reference)
    common = common_in_order(said, wanted)
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _rouge_tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", _MARKER.sub(" ", text).lower())


def fact_recall(answer: str, facts: Sequence[str]) -> float | None:
    """Return the share of the facts that stand in the answer; None where there are none."""
    if not facts:
        return None
    numbers = set(numbers_in(answer))
    found = [fact in numbers if fact[0].isdigit() else fact.lower() in answer.lower() for fact in facts]
    return sum(found) / len(facts)


def fact_precision(answer_facts: Sequence[str], stated: str) -> float | None:
    """Return the share of an answer's own key facts that stand in its reference and evidence; None for no facts."""
    return fact_recall(stated, answer_facts)


# what was said, against its quotes


def invented_numbers(answer: str, evidence: str) -> int:
    """Return how many of the answer's numbers do not stand in its quotes."""
    return len(set(numbers_in(answer)) - set(numbers_in(evidence)))


def unsupported_rate(sentences: CitedSentences, supports: Supports) -> float:
    """Return the share of the sentences that no quote of theirs supports, nor all of them together."""
    return _share(
        not any(supports(quote, text) for quote in quotes) and not _together(quotes, text, supports)
        for text, quotes in sentences
    )


def citation_recall(sentences: CitedSentences, supports: Supports) -> float:
    """Return the share of the sentences that their quotes together support (ALCE: Gao et al., EMNLP 2023)."""
    return _share(_together(quotes, text, supports) for text, quotes in sentences)


def citation_precision(sentences: CitedSentences, supports: Supports) -> float:
    """Return the share of the citations that are of use to their sentence (ALCE: Gao et al., EMNLP 2023).

    One is of use if the sentence's quotes together support it, and either it does so alone or the others do not.
    """
    return _share(useful for text, quotes in sentences for useful in _useful(quotes, text, supports))


def _useful(quotes: Sequence[str], text: str, supports: Supports) -> list[bool]:
    supported = _together(quotes, text, supports)
    return [
        supported
        and (supports(quote, text) or not _together([*quotes[:n], *quotes[n + 1 :]], text, supports))
        for n, quote in enumerate(quotes)
    ]


def _together(quotes: Sequence[str], text: str, supports: Supports) -> bool:
    return bool(quotes) and supports("\n".join(quotes), text)


def _share(verdicts: Iterable[bool]) -> float:
    found = list(verdicts)
    return sum(found) / len(found) if found else 0.0


# when to say nothing


class Abstention(NamedTuple):
    """How well abstentions fall on the questions that should have one."""

    precision: float
    recall: float
    f1: float


def abstention_scores(should_abstain: Sequence[bool], abstained: Sequence[bool]) -> Abstention:
    """Return precision, recall and F1 of abstaining; each is 0 where it has no cases.

    Raises ValueError if the lengths differ.
    """
    right = sum(should and did for should, did in zip(should_abstain, abstained, strict=True))
    wanted, made = sum(should_abstain), sum(abstained)
    return Abstention(
        right / made if made else 0.0,
        right / wanted if wanted else 0.0,
        2 * right / (made + wanted) if right else 0.0,
    )


def risk_by_coverage(confidences: Sequence[float], correct: Sequence[bool]) -> list[float]:
    """Return the share wrong among the 1, 2, ... n most confident answers.

    Among equal confidences it is the mean over all their orders. Raises ValueError if the lengths differ.
    """
    wrong = defaultdict(list)
    for confidence, right in zip(confidences, correct, strict=True):
        wrong[confidence].append(not right)
    expected = [fmean(tied) for _, tied in sorted(wrong.items(), reverse=True) for _ in tied]
    return [total / count for count, total in enumerate(accumulate(expected), start=1)]


def risk_coverage_area(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """Return the area under the risk-coverage curve (AURC; Geifman & El-Yaniv, NeurIPS 2017); less is better."""
    risks = risk_by_coverage(confidences, correct)
    return fmean(risks) if risks else 0.0


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], bins: int = 10
) -> float:
    """Return how far confidences in [0, 1] are from the share that is right (Guo et al., ICML 2017).

    The mean over ``bins`` of equal width, each closed on the right and weighted by its answers. Raises
    ValueError if the lengths differ.
    """
    ends = [n / bins for n in range(1, bins + 1)]
    gaps = [0.0] * bins
    for confidence, right in zip(confidences, correct, strict=True):
        gaps[bisect_left(ends, confidence)] += right - confidence
    return sum(map(abs, gaps)) / len(correct) if correct else 0.0
