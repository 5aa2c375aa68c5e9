import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.uncertainty import Mean, PairedDifference, bootstrap_mean, paired_bootstrap

CASES = 100
values = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


def test_the_mean_of_no_value_and_of_one():
    assert bootstrap_mean([]) == Mean(0.0, 0.0, 0.0, 0)
    assert bootstrap_mean([0.25]) == Mean(0.25, 0.25, 0.25, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0, 1234567.891])
def test_equal_values_have_an_interval_without_width(value):
    mean = bootstrap_mean([value] * 37)
    assert mean == (round(value, 4), round(value, 4), round(value, 4), 37)


def test_the_interval_of_two_values_worked_by_hand():
    # Of the samples of two, a quarter are 0 0 and a quarter 1 1: both tails of 2.5% lie within them.
    assert bootstrap_mean([0.0, 1.0]) == Mean(0.5, 0.0, 1.0, 2)


def test_the_interval_is_fixed_by_its_seed():
    scores = np.random.default_rng(1).random(20).tolist()
    assert bootstrap_mean(scores) == bootstrap_mean(scores, seed=0)
    assert len({bootstrap_mean(scores, seed=seed) for seed in range(5)}) > 1


def test_the_interval_is_that_of_scipy():
    draw = np.random.default_rng(0)
    for seed in range(CASES):
        scores = draw.random(draw.integers(2, 40)).tolist()
        wanted = scipy.stats.bootstrap(
            (scores,), np.mean, n_resamples=300, method="percentile", rng=np.random.default_rng(seed)
        ).confidence_interval
        mean = bootstrap_mean(scores, seed, resamples=300)
        assert (mean.low, mean.high) == pytest.approx((wanted.low, wanted.high), abs=6e-5)


def test_95_of_100_intervals_hold_the_true_mean():
    draw = np.random.default_rng(0)
    means = [bootstrap_mean(draw.normal(3, 2, 50).tolist(), resamples=500) for _ in range(400)]
    assert 0.90 < np.mean([mean.low <= 3 <= mean.high for mean in means]) < 0.98


@given(values)
@settings(deadline=None, max_examples=50)
def test_the_interval_holds_the_mean_and_lies_within_the_values(found):
    mean = bootstrap_mean(found, resamples=400)
    assert min(found) - 1e-4 <= mean.low <= mean.value <= mean.high <= max(found) + 1e-4


def test_no_pair_one_pair_and_equal_pairs_prove_nothing():
    assert paired_bootstrap([], []) == PairedDifference(0.0, 0.0, 0.0, 1.0, 0)
    assert paired_bootstrap([1.0], [0.0]) == PairedDifference(1.0, 1.0, 1.0, 1.0, 1)
    assert paired_bootstrap([0.3, 0.7], [0.3, 0.7]) == PairedDifference(0.0, 0.0, 0.0, 1.0, 2)


def test_few_pairs_are_no_surer_than_their_signs():
    assert paired_bootstrap([1, 1, 1], [0, 0, 0]) == PairedDifference(1.0, 1.0, 1.0, 0.25, 3)
    assert paired_bootstrap([1] * 20, [0] * 20).p_value == round(1 / 5001, 4)


def test_the_p_value_worked_by_hand():
    # The differences 1 and 0 shift to 0.5 and -0.5: of the samples of two, half have a mean as far from 0 as 0.5.
    assert paired_bootstrap([1, 1], [0, 1], resamples=50_000).p_value == pytest.approx(0.5, abs=0.01)
    # 1, 1, 1, 1, 0 shift to 0.2 (four of them) and -0.8. With k times -0.8 the mean is 0.2 - 0.2 k, as far as 0.8
    # for k = 5 alone: 0.2 ** 5; the five signs give at least 2 ** -4.
    assert paired_bootstrap([1, 1, 1, 1, 0], [0] * 5, resamples=50_000).p_value == 2**-4


def test_the_p_value_agrees_with_the_t_test_where_that_holds():
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        ours, baseline = draw.normal(shift, 0.5, 80), draw.normal(0, 0.5, 80)
        wanted = scipy.stats.ttest_rel(ours, baseline).pvalue
        assert paired_bootstrap(ours.tolist(), baseline.tolist()).p_value == pytest.approx(wanted, abs=0.03)


def test_equal_systems_differ_by_chance_as_often_as_the_p_value_says():
    draw = np.random.default_rng(0)
    found = [paired_bootstrap(*draw.random((2, 60)).tolist(), resamples=400).p_value for _ in range(400)]
    assert 0.02 < np.mean([p_value < 0.05 for p_value in found]) < 0.09


def test_pairs_are_tested_as_pairs():
    baseline = np.random.default_rng(2).random(40).tolist()
    better = [score + 0.01 * (1 + n % 2) for n, score in enumerate(baseline)]
    assert paired_bootstrap(better, baseline).p_value < 0.01
    assert paired_bootstrap(better, sorted(baseline)).p_value > 0.1


def test_pairs_of_unequal_length_are_refused():
    with pytest.raises(ValueError):
        paired_bootstrap([1.0, 2.0], [1.0])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_swapping_the_systems_turns_the_difference_around(pairs):
    ours, baseline = [list(side) for side in zip(*pairs, strict=True)]
    found = paired_bootstrap(ours, baseline, resamples=400)
    turned = paired_bootstrap(baseline, ours, resamples=400)
    assert found[:3] == pytest.approx((-turned.difference, -turned.high, -turned.low), abs=2e-4)
    assert found.p_value == turned.p_value
    assert 0 < found.p_value <= 1
