"""Rows to numbers with intervals. Pure functions of arrays; every one has an outside reference in its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Estimate",
    "Rates",
    "bootstrap_mean",
    "bootstrap_ratio",
    "clopper_pearson",
    "mcnemar",
    "mean_of_views",
    "median_with_failures",
    "newcombe",
    "rates",
    "wilson",
]

Values = npt.NDArray[np.float64] | Sequence[float]
Flags = npt.NDArray[np.bool_] | Sequence[bool]
_MOST = 2000  # samples that are resampled; above, the normal interval differs less than two seeds of a bootstrap do
_BLOCK = 100  # resamples drawn at once: what fits into a cache
_NAN = float("nan")
_ONE = np.ones(1)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and the number of samples behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Rates:
    """What an attack did to a set of samples, each share with its Wilson interval (n = 0: value NaN)."""

    clean: Estimate  # correct before, of all
    robust: Estimate  # correct before and after, of all
    success_correct: Estimate  # the attack's goal reached, of the initially correct
    success_all: Estimate  # the same, of all
    survival: Estimate  # still so after rounding to 8 bits, of the successes


def rates(
    label: npt.NDArray[Any], clean_correct: Flags, adv_pred: npt.NDArray[Any], success: Flags, success_8bit: Flags
) -> Rates:
    """The shares of one cell from its columns (N,). A sample that was wrong before counts as not robust."""
    correct, reached = np.asarray(clean_correct, bool), np.asarray(success, bool)
    survives = reached & np.asarray(success_8bit, bool)
    n, n_correct, n_reached = len(correct), int(correct.sum()), int(reached.sum())
    return Rates(
        clean=wilson(n_correct, n),
        robust=wilson(int((correct & (np.asarray(adv_pred) == np.asarray(label))).sum()), n),
        success_correct=wilson(int((correct & reached).sum()), n_correct),
        success_all=wilson(n_reached, n),
        survival=wilson(int(survives.sum()), n_reached),
    )


def wilson(successes: float, n: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (Wilson 1927); NaN for n = 0. Raises ValueError outside 0..n."""
    if not 0 <= successes <= n:
        raise ValueError(f"expected between 0 and {n} successes, got {successes}")
    if n == 0:
        return Estimate(_NAN, 0.0, 1.0, 0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n)


def newcombe(first: Estimate, second: Estimate) -> Estimate:
    """The difference of two shares of different draws, from their Wilson intervals (Newcombe 1998, method 10)."""
    value = first.value - second.value
    below = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    above = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Estimate(value, value - below, value + above, min(first.n, second.n))


def mean_of_views(shares: Values, draws: int, confidence: float = 0.95) -> Estimate:
    """The mean over samples of shares of `draws` views each, by bootstrap over samples.

    A single sample has no spread over samples, only its draws say how sure it is: then Wilson's interval over those.
    """
    if len(shares) != 1:
        return bootstrap_mean(shares, confidence)
    return wilson(round(shares[0] * draws), draws, confidence)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934): at least the stated coverage, always."""
    from scipy.special import betaincinv  # half a second of import: only where it is asked for

    if not 0 <= successes <= n:
        raise ValueError(f"expected between 0 and {n} successes, got {successes}")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def mcnemar(lost: int, won: int, *, one_sided: bool = False) -> float:
    """Exact p-value of McNemar's test: `lost` and `won` are the pairs that changed. One-sided: too many are lost."""
    if min(lost, won) < 0:
        raise ValueError(f"expected counts, got {lost} and {won}")
    n = lost + won
    if one_sided:  # P(X >= lost) = P(X <= won) where either way is as likely
        return float(_outcomes(n, won) / 2**n if won < lost else 1 - _outcomes(n, lost - 1) / 2**n)
    return float(min(1.0, 2 * _outcomes(n, min(lost, won)) / 2**n))


def _outcomes(n: int, most: int) -> int:
    """How many of the outcomes of n coins show at most `most` heads: a whole number, exact however large."""
    total, ways = 0, 1
    for k in range(most + 1):
        total += ways
        ways = ways * (n - k) // (k + 1)
    return total


def bootstrap_mean(values: Values, confidence: float = 0.95, *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """The mean with a percentile bootstrap interval; the same numbers give the same interval.

    Above 2,000 samples the interval is the normal one. NaN where a value is not finite or there is none.
    """
    return _interval(np.asarray(values, np.float64), _ONE, confidence, seed, resamples)


def bootstrap_ratio(
    numerator: Values, denominator: Values, confidence: float = 0.95, *, seed: int = 0, resamples: int = 2000
) -> Estimate:
    """The ratio of two means over the same samples (paired), with an interval as `bootstrap_mean` gives it."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if top.shape != bottom.shape:
        raise ValueError(f"expected pairs, got {len(top)} and {len(bottom)} values")
    return _interval(top, bottom, confidence, seed, resamples)


def _interval(
    top: npt.NDArray[np.float64], bottom: npt.NDArray[np.float64], confidence: float, seed: int, resamples: int
) -> Estimate:
    """mean(top) / mean(bottom) with its interval."""
    n = len(top)
    if n == 0 or not (np.isfinite(top).all() and np.isfinite(bottom).all() and bottom.mean() > 0):
        return Estimate(_NAN, _NAN, _NAN, n)
    ratio = float(top.mean() / bottom.mean())
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    if n > _MOST:  # delta method
        spread = float((top - ratio * bottom).std(ddof=1) / bottom.mean() / n**0.5)
        low, high = (ratio + NormalDist().inv_cdf(tail) * spread for tail in tails)
        return Estimate(ratio, low, high, n)
    weights = _weights(n, seed, resamples)
    below = n if bottom is _ONE else weights @ bottom
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold only zeros of `bottom`
        ratios = (weights @ top) / below
    low, high = np.quantile(ratios[np.isfinite(ratios)], tails)
    return Estimate(ratio, float(low), float(high), n)


@lru_cache(maxsize=2)
def _weights(n: int, seed: int, resamples: int) -> npt.NDArray[np.float64]:
    """How often each of n samples is drawn in each resample (R, n); shared by all cells of one size."""
    rng, weights = np.random.default_rng(seed), np.empty((resamples, n))
    for start in range(0, resamples, _BLOCK):
        rows = min(_BLOCK, resamples - start)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        weights[start : start + rows] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
    return weights


def median_with_failures(values: Values, success: Flags) -> float:
    """The median where a failure counts as an infinite distance: inf once half of them fail; NaN for no value."""
    data = np.where(np.asarray(success, bool), np.asarray(values, np.float64), np.inf)
    if len(data) == 0:
        return _NAN
    ordered = np.sort(data)
    low, high = ordered[(len(data) - 1) // 2], ordered[len(data) // 2]
    return float(low) if low == high else float((low + high) / 2)
