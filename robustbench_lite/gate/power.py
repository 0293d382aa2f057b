"""What a gate can see: the smallest drop that it catches in most runs."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["POWER", "detectable"]

POWER = 0.8  # how often a drop that "can be detected" is


@cache  # many gates have as many samples and flips
def detectable(n: int, won: int, level: float, margin: float) -> float:
    """The smallest drop in points that fails in `POWER` of runs, where `won` of n flipped for the better by chance.

    `level`: what the p-value must not exceed. How often samples flip is not known, only that `won` did: the most that
    is likely is assumed, the upper 80 % bound of Clopper and Pearson, so that none won is not taken for no chance at
    all. inf where even the loss of every sample would not be certain.
    """
    from scipy.special import betaincinv

    churn = float(betaincinv(won + 1, n - won, POWER)) if won < n else 1.0
    largest = int(n * max(0.0, 1 - 2 * churn))
    fails = lambda extra: _power(n, churn, extra / n, level, margin * n / 100)
    extra = bisect_left(range(1, largest + 1), POWER, key=fails) + 1
    return 100 * extra / n if extra <= largest else float("inf")


def _power(n: int, churn: float, drop: float, level: float, least: float) -> float:
    """The chance to fail when each of n samples is lost with `churn + drop` and won with `churn`.

    The number of flips varies from run to run, and of these the number that is lost.
    """
    from scipy.special import bdtr, bdtrc  # P(X <= k), P(X > k)

    moves = 2 * churn + drop
    spread = 8 * (n * moves) ** 0.5 + 8
    flips = np.arange(max(0, int(n * moves - spread)), min(n, int(n * moves + spread)) + 1)
    chance = np.diff(bdtr(flips, n, moves), prepend=bdtr(flips[0] - 1, n, moves) if flips[0] else 0.0)
    needed = _needed(flips, level, least)
    caught = np.where(needed > flips, 0.0, bdtrc(np.maximum(needed - 1, 0), flips, (churn + drop) / moves))
    return float((chance * np.where(needed <= 0, 1.0, caught)).sum())


def _needed(flips: npt.NDArray[np.int64], level: float, least: float) -> npt.NDArray[np.int64]:
    """How many of so many flips must be lost for the loss to be certain and beyond `least` samples; flips + 1: none."""
    from scipy.special import bdtrc

    low, high = np.zeros_like(flips), flips + 1
    while (low < high).any():  # bisection, all at once
        middle = (low + high) // 2
        tail = np.where(middle > 0, bdtrc(np.maximum(middle - 1, 0), np.maximum(flips, 1), 0.5), 1.0)
        enough = ((tail <= level) & (2 * middle - flips > least)) | (middle > flips)
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return high
