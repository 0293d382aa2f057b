"""Rows to numbers with intervals. Pure functions of arrays; every one has an outside reference in its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "bootstrap_mean", "bootstrap_ratio", "clopper_pearson", "median_with_failures", "wilson"]

Values = npt.NDArray[np.float64] | Sequence[float]
_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and the number of samples behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927); NaN for n = 0."""
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934): at least the stated coverage, always."""
    from scipy.special import betaincinv  # half a second of import: only where it is asked for

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def bootstrap_mean(values: Values, confidence: float = 0.95) -> Estimate:
    """The mean with a percentile bootstrap interval; the same numbers give the same interval."""
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    means = (_weights(len(data)) @ data) / len(data)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(data.mean()), float(low), float(high), len(data))


def bootstrap_ratio(numerator: Values, denominator: Values, confidence: float = 0.95) -> Estimate:
    """The ratio of two means over the same samples (paired), with a percentile bootstrap interval."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    weights = _weights(len(top))
    ratios = (weights @ top) / (weights @ bottom)
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(top.mean() / bottom.mean()), float(low), float(high), len(top))


def _weights(n: int) -> npt.NDArray[np.float64]:
    """How often each of n samples is drawn in each resample (R, n); multinomial counts are the bootstrap."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64)


def median_with_failures(values: Values, success: npt.NDArray[np.bool_] | Sequence[bool]) -> float:
    """The median where a failure counts as an infinite distance: inf once half of them fail."""
    data = np.where(np.asarray(success, bool), np.asarray(values, np.float64), np.inf)
    if len(data) == 0:
        return float("nan")
    ordered = np.sort(data)
    low, high = ordered[(len(data) - 1) // 2], ordered[len(data) // 2]
    return float(low) if low == high else float((low + high) / 2)
