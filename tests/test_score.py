import itertools
import math
import random
import re
import string
from collections import Counter
from statistics import fmean

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_fscore_support

from evals.score import (
    abstention_scores,
    citation_precision,
    citation_recall,
    exact_match,
    expected_calibration_error,
    fact_precision,
    fact_recall,
    invented_numbers,
    mrr,
    ndcg_at_k,
    recall_at_k,
    risk_by_coverage,
    risk_coverage_area,
    rouge_l,
    token_f1,
    unsupported_rate,
)

CASES = 200
ids = st.sampled_from("abcdefghij")
rankings = st.lists(ids, unique=True)
judged = st.lists(st.tuples(st.sampled_from([0, 0.2, 0.5, 0.9, 1]), st.booleans()), min_size=1, max_size=12)


def unzipped(pairs):
    return [list(side) for side in zip(*pairs, strict=True)]


# what was found


def test_retrieval_worked_by_hand():
    ranked, relevant = ["d", "a", "e", "b"], {"a", "b", "c"}
    assert recall_at_k(ranked, relevant, 1) == 0
    assert recall_at_k(ranked, relevant, 2) == 1 / 3  # a of a, b, c
    assert recall_at_k(ranked, relevant, 10) == 2 / 3
    assert mrr(ranked, relevant) == 1 / 2  # a stands second
    ideal = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)  # a, b, c first
    assert ndcg_at_k(ranked, relevant) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert ndcg_at_k(ranked, relevant, 2) == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


@pytest.mark.parametrize("ranked, relevant", [([], {"a"}), (["a"], set()), ([], [])])
def test_retrieval_without_cases_is_zero(ranked, relevant):
    assert recall_at_k(ranked, relevant, 10) == mrr(ranked, relevant) == ndcg_at_k(ranked, relevant) == 0


def test_an_id_named_twice_as_relevant_counts_once():
    assert recall_at_k(["a"], ["a", "a"], 1) == ndcg_at_k(["a"], ["a", "a"]) == 1


def test_retrieval_agrees_with_trec_eval():
    draw = random.Random(0)
    names = [f"d{n}" for n in range(30)]
    measures = {"ndcg_cut_10", "recip_rank", "recall_5,10"}
    for _ in range(CASES):
        ranked = draw.sample(names, draw.randint(1, 20))
        relevant = draw.sample(names, draw.randint(1, 12))
        judgements = {"q": {name: int(name in relevant) for name in names}}
        run = {"q": {name: float(-rank) for rank, name in enumerate(ranked)}}
        wanted = pytrec_eval.RelevanceEvaluator(judgements, measures).evaluate(run)["q"]
        assert ndcg_at_k(ranked, relevant, 10) == pytest.approx(wanted["ndcg_cut_10"])
        gains = {name: draw.randint(0, 3) for name in relevant}
        graded = pytrec_eval.RelevanceEvaluator({"q": gains}, {"ndcg_cut_10"}).evaluate(run)["q"]
        assert ndcg_at_k(ranked, gains, 10) == pytest.approx(graded["ndcg_cut_10"])
        assert mrr(ranked, relevant) == pytest.approx(wanted["recip_rank"])
        assert recall_at_k(ranked, relevant, 5) == pytest.approx(wanted["recall_5"])
        assert recall_at_k(ranked, relevant, 10) == pytest.approx(wanted["recall_10"])


@given(rankings, st.sets(ids), st.integers(1, 12))
def test_retrieval_lies_between_0_and_1_and_is_1_where_all_relevant_come_first(ranked, relevant, k):
    scores = recall_at_k(ranked, relevant, k), mrr(ranked, relevant), ndcg_at_k(ranked, relevant, k)
    assert all(0 <= score <= 1 for score in scores)
    if relevant:
        first = [*sorted(relevant), *(i for i in ranked if i not in relevant)]
        assert ndcg_at_k(first, relevant, k) == pytest.approx(1)
        assert mrr(first, relevant) == 1


@given(rankings, st.sets(ids, min_size=1))
def test_recall_never_falls_as_more_is_read(ranked, relevant):
    recalls = [recall_at_k(ranked, relevant, k) for k in range(1, 12)]
    assert recalls == sorted(recalls)


# what was said, against a reference


def test_answers_worked_by_hand():
    assert exact_match("The Cat, sat [1].", "a cat sat") == 1
    assert exact_match("The cat sat down.", "a cat sat") == 0
    assert exact_match("", "the") == 1
    assert token_f1("The cat sat.", "a cat sat down") == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))
    # Lin's example: of "police killed the gunman", "police the gunman" is the longest common subsequence.
    assert rouge_l("police kill the gunman", "police killed the gunman") == 0.75
    assert rouge_l("the gunman kill police", "police killed the gunman") == 0.5
    assert rouge_l("", "police") == rouge_l("police", "") == rouge_l("", "") == 0


def squad_tokens(text):
    """Normalize by the definition in the SQuAD paper."""
    text = "".join(char for char in text.lower() if char not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def sentence(draw):
    words = ["the", "a", "An", "Cat", "cat's", "sat,", "ran.", "5,000", "x-ray", "$3", "(dog)", "dog", "U.S."]
    return " ".join(draw.choices(words, k=draw.randint(0, 8)))


def test_token_f1_and_exact_match_agree_with_squads_definition():
    draw = random.Random(0)
    for _ in range(CASES):
        one, other = sentence(draw), sentence(draw)
        said, wanted = squad_tokens(one), squad_tokens(other)
        assert exact_match(one, other) == (said == wanted)
        common = sum((Counter(said) & Counter(wanted)).values())
        if not common:
            assert token_f1(one, other) == (said == wanted)
        else:
            precision, recall = common / len(said), common / len(wanted)
            assert token_f1(one, other) == pytest.approx(2 * precision * recall / (precision + recall))


def test_rouge_l_agrees_with_rouge_score():
    draw = random.Random(0)
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    answers = [sentence(draw) for _ in range(CASES)] + ["Äpfel über 3½", "don’t—stop_now", "İstanbul 2024"]
    for one, other in itertools.pairwise(answers + answers[::3]):
        assert rouge_l(one, other) == pytest.approx(scorer.score(other, one)["rougeL"].fmeasure)


def test_rouge_l_leaves_markers_out():
    assert rouge_l("It opened in May [1].", "It opened in May.") == 1


@given(st.text(alphabet="ab 1.,", max_size=20), st.text(alphabet="ab 1.,", max_size=20))
def test_answer_scores_are_symmetric_and_bounded(one, other):
    for score in (token_f1, exact_match, rouge_l):
        assert score(one, other) == score(other, one)
        assert 0 <= score(one, other) <= 1
        assert score(one, one) == 1 or score is rouge_l
    assert exact_match(one, other) <= token_f1(one, other)


def test_facts_worked_by_hand():
    assert fact_recall("It cost 14.3 billion.", ("14.3", "49")) == 0.5
    assert fact_recall("It cost 114.3 billion.", ("14.3",)) == 0.0
    assert fact_recall("Scale was bought by meta.", ("Meta",)) == 1.0
    assert fact_precision(("14.3", "50"), "Meta paid 14.3 billion for 49%.") == 0.5
    assert fact_precision(("Meta",), "Meta paid 14.3 billion for 49%.") == 1.0
    assert fact_recall("Yes.", ()) is fact_precision((), "Yes.") is None
    assert invented_numbers("5 of 7", "5 of 6") == 1


# what was said, against its quotes


def holds_words(premise, claim):
    """Support where every word of the claim stands in the premise."""
    return set(claim.split()) <= set(premise.split())


def test_citations_worked_by_hand():
    sentences = [
        ("a b", ["a b", "a"]),  # supported by the first alone; the second adds nothing to it: useless
        ("a b", ["a", "b"]),  # supported by both together: both of use
        ("a b", ["a b", "b a"]),  # each supports it alone: both of use
        ("a b", ["a", "c"]),  # not supported: none of use
        ("a b", []),  # cites nothing
    ]
    assert citation_recall(sentences, holds_words) == 3 / 5
    assert citation_precision(sentences, holds_words) == (1 + 2 + 2 + 0) / 8
    assert unsupported_rate(sentences, holds_words) == 2 / 5


def test_citations_of_no_sentence_and_of_none_score_zero():
    for sentences in ([], [("a", [])]):
        assert citation_recall(sentences, holds_words) == citation_precision(sentences, holds_words) == 0
    assert unsupported_rate([], holds_words) == 0
    assert unsupported_rate([("a", [])], lambda *_: True) == 1


def test_a_sentence_that_one_quote_supports_alone_is_not_unsupported():
    def shorter_than_ten(premise, _):
        return len(premise) < 10

    sentences = [("a", ["shorter", "shorter"])]
    assert citation_recall(sentences, shorter_than_ten) == 0
    assert unsupported_rate(sentences, shorter_than_ten) == 0


word_runs = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(" ".join)
cited = st.lists(st.tuples(word_runs, st.lists(word_runs, max_size=3)), max_size=4)


@given(cited, st.randoms())
def test_citation_scores_are_bounded_and_heed_no_order(sentences, draw):
    shuffled = [(text, draw.sample(quotes, len(quotes))) for text, quotes in sentences]
    draw.shuffle(shuffled)
    for score in (citation_recall, citation_precision, unsupported_rate):
        assert 0 <= score(sentences, holds_words) <= 1
        assert score(sentences, holds_words) == score(shuffled, holds_words)
    if sentences:  # where more text never supports less, a sentence is either supported or not
        assert citation_recall(sentences, holds_words) == pytest.approx(
            1 - unsupported_rate(sentences, holds_words)
        )


@given(cited)
def test_a_citation_without_use_lowers_precision_alone(sentences):
    padded = [(text, [*quotes, "z"]) for text, quotes in sentences]
    assert citation_recall(padded, holds_words) == citation_recall(sentences, holds_words)
    assert citation_precision(padded, holds_words) <= citation_precision(sentences, holds_words)


# when to say nothing


def test_abstention_worked_by_hand():
    # Of the two that should abstain, one did; of the three that did, one should.
    assert abstention_scores([1, 1, 0, 0, 0], [1, 0, 1, 1, 0]) == (1 / 3, 1 / 2, 2 * 1 / (3 + 2))
    assert abstention_scores([], []) == abstention_scores([True], [False]) == (0, 0, 0)
    with pytest.raises(ValueError):
        abstention_scores([True], [])


def test_abstention_agrees_with_sklearn():
    draw = random.Random(0)
    for _ in range(CASES):
        n = draw.randint(1, 12)
        should, did = draw.choices([True, False], k=n), draw.choices([True, False], k=n)
        wanted = precision_recall_fscore_support(should, did, average="binary", zero_division=0)[:3]
        assert abstention_scores(should, did) == pytest.approx(wanted)


def test_risk_and_coverage_worked_by_hand():
    # Right, wrong, right, wrong from the surest on.
    assert risk_by_coverage([0.9, 0.1, 0.8, 0.3], [True, False, False, True]) == [0, 1 / 2, 1 / 3, 1 / 2]
    assert risk_coverage_area([0.9, 0.1, 0.8, 0.3], [True, False, False, True]) == pytest.approx(4 / 3 / 4)
    # The two of 0.5 in either order: risks 1, 1/2 or 0, 1/2.
    assert risk_by_coverage([0.5, 0.5], [True, False]) == [0.5, 0.5]
    assert risk_coverage_area([], []) == 0
    with pytest.raises(ValueError):
        risk_coverage_area([0.5], [])


@given(judged.filter(lambda pairs: len(pairs) <= 6))
def test_tied_confidences_count_as_the_mean_over_their_orders(pairs):
    def area_in_order(ordered):
        return fmean(sum(not right for _, right in ordered[:k]) / k for k in range(1, len(ordered) + 1))

    orders = [
        order
        for order in itertools.permutations(pairs)
        if all(one[0] >= other[0] for one, other in itertools.pairwise(order))
    ]
    assert risk_coverage_area(*unzipped(pairs)) == pytest.approx(fmean(map(area_in_order, orders)))


@given(judged, st.randoms())
def test_the_area_heeds_no_order_and_none_is_below_that_of_a_perfect_ranking(pairs, draw):
    confidences, correct = unzipped(pairs)
    area = risk_coverage_area(confidences, correct)
    best = risk_coverage_area([float(right) for right in correct], correct)
    worst = risk_coverage_area([float(not right) for right in correct], correct)
    assert -1e-12 <= best - 1e-12 <= area <= worst + 1e-12 <= 1 + 1e-12
    draw.shuffle(pairs)
    assert risk_coverage_area(*unzipped(pairs)) == pytest.approx(area)


def test_calibration_worked_by_hand():
    # (0.6, 0.7] holds 0.65 and 0.7, one right: |1 - 1.35|; (0.9, 1] holds 1.0, right: 0; (0, 0.1] holds 0.0, wrong: 0.
    assert expected_calibration_error([0.65, 0.7, 1.0, 0.0], [True, False, True, False]) == pytest.approx(
        0.35 / 4
    )
    # One bin: two of four are right at a mean confidence of 0.5875.
    assert expected_calibration_error([0.65, 0.7, 1.0, 0.0], [1, 0, 1, 0], bins=1) == pytest.approx(0.0875)
    assert expected_calibration_error([], []) == 0
    with pytest.raises(ValueError):
        expected_calibration_error([0.5], [])


@pytest.mark.parametrize("tenth", range(1, 11))
def test_an_edge_belongs_to_the_bin_below_it(tenth):
    edge, below = tenth / 10, tenth / 10 - 0.05
    together = abs(1 - (edge + below)) / 2  # apart it would be (1 - edge + below) / 2
    assert expected_calibration_error([edge, below], [True, False]) == pytest.approx(together)


def test_calibration_agrees_with_sklearns_curve():
    draw = np.random.default_rng(0)
    for _ in range(CASES):
        confidences = draw.random(draw.integers(1, 60))
        correct = draw.random(len(confidences)) < confidences
        right, said = calibration_curve(correct, confidences, n_bins=10)
        counts = np.histogram(confidences, bins=10, range=(0, 1))[0]
        wanted = (np.abs(right - said) * counts[counts > 0]).sum() / len(confidences)
        found = expected_calibration_error(confidences.tolist(), correct.tolist())
        assert found == pytest.approx(wanted)


@given(judged, st.integers(1, 20))
def test_the_calibration_error_is_bounded_and_no_less_with_more_bins_than_with_one(pairs, bins):
    confidences, correct = unzipped(pairs)
    one, more = (expected_calibration_error(confidences, correct, n) for n in (1, bins))
    assert -1e-12 <= one - 1e-12 <= more <= 1
