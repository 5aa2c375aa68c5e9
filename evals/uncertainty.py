"""How sure a mean or a difference of means is, by resampling the cases; knows nothing of what was scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_TAILS = (0.025, 0.975)


class Mean(NamedTuple):
    """A mean over ``n`` values with the ends of its 95% interval."""

    value: float
    low: float
    high: float
    n: int


class PairedDifference(NamedTuple):
    """A mean difference over ``n`` pairs, the ends of its 95% interval and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float
    n: int


def bootstrap_mean(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> Mean:
    """Return the mean with its percentile bootstrap interval (Efron & Tibshirani, 1993, chapter 13).

    Rounded to 4 digits; the same seed gives the same interval. Zeros for no values; one value has no width.
    """
    if not values:
        return Mean(0.0, 0.0, 0.0, 0)
    array = np.asarray(values, dtype=np.float64)
    low, high = _interval(_resampled_means(array, seed, resamples))
    return Mean(round(float(array.mean()), 4), low, high, len(values))


def paired_bootstrap(
    ours: Sequence[float], baseline: Sequence[float], seed: int = 0, resamples: int = 5000
) -> PairedDifference:
    """Return the mean of ``ours - baseline``, pair by pair, with its interval and whether it may be chance.

    The p-value is the share of resamples, what was seen counted as one, whose mean is as far from 0 once the
    differences are shifted to a mean of 0 (Efron & Tibshirani, 1993, section 16.4). Few or equal pairs would
    seem surer than they are, so it is at least 2 ** (1 - n), the least that n signs alone can give. Rounded to
    4 digits. Raises ValueError if the lengths differ.
    """
    pairs = zip(ours, baseline, strict=True)
    differences = np.array([one - other for one, other in pairs], dtype=np.float64)
    if not differences.size:
        return PairedDifference(0.0, 0.0, 0.0, 1.0, 0)
    n, seen = len(differences), float(differences.mean())
    means = _resampled_means(differences, seed, resamples)
    as_far = int((np.abs(means - seen) >= abs(seen) - 1e-12).sum())  # equal but for rounding is as far
    p_value = max((as_far + 1) / (resamples + 1), 2.0 ** (1 - n))
    return PairedDifference(round(seen, 4), *_interval(means), round(p_value, 4), n)


def _resampled_means(values: _Floats, seed: int, resamples: int) -> _Floats:
    """Return the means of samples drawn from the values with replacement, [resamples]."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means: _Floats = values[drawn].mean(axis=1)
    return means


def _interval(means: _Floats) -> tuple[float, float]:
    low, high = np.quantile(means, _TAILS)
    return round(float(low), 4), round(float(high), 4)
