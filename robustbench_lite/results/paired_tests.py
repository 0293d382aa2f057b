"""Tests of pairs: the same samples before and after, or under two classifiers. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["holm", "mcnemar", "permuted", "sign_test"]

Values = npt.NDArray[np.float64] | Sequence[float]
_ALL_SIGNS = 12  # differences whose signs are all tried; above, a sample of them
_MOST = 2000  # differences; above, the normal law says the same
_SMALL = 400  # differences: 32 MB for their signs as real numbers
_BLOCK = 100  # resamples drawn at once: what fits into a cache


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


def sign_test(first: Values, second: Values, *, one_sided: bool = False) -> float:
    """Exact p-value that of pairs (n,), (n,) as many are larger as smaller; equal ones, both infinite too, have no say.

    One-sided: too many of `first` are larger.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return mcnemar(int((a > b).sum()), int((a < b).sum()), one_sided=one_sided)


def permuted(differences: Values, *, seed: int = 0, draws: int = 10_000) -> float:
    """Two-sided p-value that the mean of paired differences (n,) is 0: each might as well have the other sign.

    Exact up to 12 differences that are not 0, above by a sample of the signs, and above 2,000 by the normal law.
    """
    data = np.asarray(differences, np.float64)
    data = data[data != 0]
    n, least = len(data), abs(float(data.sum())) * (1 - 1e-12)
    if n > _MOST:
        return 2 * NormalDist().cdf(-least / float((data**2).sum()) ** 0.5)
    if n <= _ALL_SIGNS:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float((np.abs(signs @ data) >= least).mean())
    hits = 1  # what was seen is one of the outcomes
    for signs in _signs(n, seed, draws):
        hits += int((np.abs(signs.astype(np.float64, copy=False) @ data) >= least).sum())
    return hits / (draws + 1)


@lru_cache(maxsize=2)
def _signs(n: int, seed: int, draws: int) -> npt.NDArray[np.int8 | np.float64]:
    """Random signs of n differences (draws / 100, 100, n); a ranking holds everybody against the best.

    Kept as they are multiplied, unless that takes too much memory.
    """
    rng, blocks = np.random.default_rng(seed), -(-draws // _BLOCK)
    signs = np.empty((blocks, _BLOCK, n), np.float64 if n <= _SMALL else np.int8)
    for block in signs:
        block[:] = 1 - 2 * rng.integers(0, 2, (_BLOCK, n))
    return signs


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): compared with alpha they keep the chance of any false alarm at alpha."""
    order = np.argsort(p, kind="stable")
    adjusted, largest = [1.0] * len(p), 0.0
    for rank, i in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted
