"""Rows to numbers with intervals. Pure functions of arrays; every one has an outside reference in its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "ENOUGH",
    "Estimate",
    "Size",
    "bootstrap_mean",
    "bootstrap_ratio",
    "clopper_pearson",
    "mean_of_views",
    "median",
    "median_with_failures",
    "newcombe",
    "size_of",
    "wilson",
]

Values = npt.NDArray[np.float64] | Sequence[float]
Flags = npt.NDArray[np.bool_] | Sequence[bool]
_MOST = 2000  # samples that are resampled; above, the normal interval differs less than two seeds of a bootstrap do
_FEWEST = 10  # samples; below, no bootstrap interval covers the truth about as often as it says
_BLOCK = 100  # resamples drawn at once: what fits into a cache
ENOUGH = 0.99  # share of successes from which a mean size says something; below, the median with failures at infinity
_NAN = float("nan")
_ONE = np.ones(1)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and the number of samples behind it; NaN ends: too few samples for an interval."""

    value: float
    low: float
    high: float
    n: int


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


def bootstrap_mean(values: Values, confidence: float = 0.95, *, seed: int = 0, resamples: int = 2000) -> Estimate:
    """The mean with a bootstrap interval (BCa, Efron 1987, tails widened for n); equal numbers have equal intervals.

    Below 10 samples there is none; above 2,000 it is the normal one. NaN where a value is not finite or there is none.
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
    if n < _FEWEST:
        return Estimate(ratio, _NAN, _NAN, n)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    if n > _MOST:  # delta method
        spread = float((top - ratio * bottom).std(ddof=1) / bottom.mean() / n**0.5)
        low, high = (ratio + NormalDist().inv_cdf(tail) * spread for tail in tails)
        return Estimate(ratio, low, high, n)
    weights = _weights(n, seed, resamples)
    below = n if bottom is _ONE else weights @ bottom
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold only zeros of `bottom`
        ratios = (weights @ top) / below
        left_out = (top.sum() - top) / (n - 1 if bottom is _ONE else bottom.sum() - bottom)
    ratios, left_out = ratios[np.isfinite(ratios)], left_out[np.isfinite(left_out)]
    low, high = np.quantile(ratios, _bca(ratios, ratio, left_out, [_widened(tail, n) for tail in tails]))
    return Estimate(ratio, float(low), float(high), n)


def _widened(tail: float, n: int) -> float:
    """The tail of the normal law that n samples take where Student's t would be exact (Hesterberg 2015, section 3.3).

    The bootstrap's spread is too small by sqrt((n - 1) / n), and it knows nothing of n - 1 degrees of freedom; t by the
    expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5).
    """
    normal, free = NormalDist(), n - 1
    z = normal.inv_cdf(tail)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    return normal.cdf(t * (n / free) ** 0.5)


def _bca(
    ratios: npt.NDArray[np.float64], ratio: float, left_out: npt.NDArray[np.float64], tails: Sequence[float]
) -> list[float]:
    """Which quantiles of the resampled `ratios` are the ends: corrected for bias and, by the jackknife, skewness."""
    normal, below = NormalDist(), float((ratios < ratio).mean() + (ratios <= ratio).mean()) / 2
    if not 0 < below < 1:  # every resample is the same
        return list(tails)
    gaps = left_out.mean() - left_out
    spread = float((gaps**2).sum())
    speed = float((gaps**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    bias = normal.inv_cdf(below)
    shifted = [bias + normal.inv_cdf(tail) for tail in tails]
    return [normal.cdf(bias + z / (1 - speed * z)) for z in shifted]


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
    return median(np.where(np.asarray(success, bool), np.asarray(values, np.float64), np.inf)).value


def median(values: Values, confidence: float = 0.95) -> Estimate:
    """The median of numbers, infinite ones too, with the exact interval between two order statistics (Thompson 1936).

    Ends are NaN where even the smallest and the largest value enclose it too rarely: below six values at 95 %.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    if n == 0 or np.isnan(ordered).any():
        return Estimate(_NAN, _NAN, _NAN, n)
    low, high = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    rank = _rank(n, (1 - confidence) / 2)
    ends = (float(ordered[rank - 1]), float(ordered[n - rank])) if rank else (_NAN, _NAN)
    return Estimate(low if low == high else (low + high) / 2, *ends, n)


@lru_cache(maxsize=64)
def _rank(n: int, tail: float) -> int:
    """The largest r with P(fewer than r of n values lie below the median) <= tail; 0: none."""
    total, ways, rank = 0, 1, 0
    most = Fraction(tail) * 2**n
    while total + ways <= most:
        total, ways, rank = total + ways, ways * (n - rank) // (rank + 1), rank + 1
    return rank


@dataclass(frozen=True)
class Size:
    """How large the perturbations of a minimal attack are, and which number says so.

    `mean`: of the successes, at least 99 % of the samples; `median`: with fewer, of all, failures at infinity.
    """

    statistic: Literal["mean", "median"]
    estimate: Estimate
    success: float  # share of the samples


def size_of(values: Values, success: Flags, confidence: float = 0.95) -> Size:
    """The size (n,) of perturbations: a mean only where at least 99 % succeeded, so that failures cannot vanish."""
    data, reached = np.asarray(values, np.float64), np.asarray(success, bool)
    share = float(reached.mean()) if len(reached) else _NAN
    if share >= ENOUGH:
        return Size("mean", bootstrap_mean(data[reached], confidence), share)
    return Size("median", median(np.where(reached, data, np.inf), confidence), share)
