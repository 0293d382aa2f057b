"""Did it become less robust? Paired samples in, findings out. Pure functions; no files, no names of anything.

A loss fails a gate when it is larger than the margin *and* certain: exact one-sided McNemar test on verdicts that
flipped, one-sided Wilcoxon signed-rank test on distances (sign test where failures are among them), Holm's
correction over all tests of the run. So a run without any real change fails with at most 1 - confidence, however many
gates it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from robustbench_lite.gate.rules import Gate, Limits
from robustbench_lite.results.paired import holm, mcnemar, sign_test
from robustbench_lite.results.statistics import (
    ENOUGH,
    Estimate,
    bootstrap_mean,
    clopper_pearson,
    median,
    size_of,
)
from robustbench_lite.text import percent

__all__ = ["POWER", "Finding", "Pairs", "detectable", "findings", "floors"]

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
POWER = 0.8  # how often a drop that "can be detected" is


@dataclass(frozen=True)
class Pairs:
    """One gate: the same samples before and after.

    `robust`: correct before and after the attack (n,), (n,). `distance`: sizes of the perturbation (n,), (n,), infinite
    where the attack failed. `rho`: sizes of the run that is checked (n,), likewise.
    """

    robust: tuple[Flags, Flags]
    distance: tuple[Values, Values] | None = None
    rho: Values | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Finding:
    """One comparison. `drop` > 0 is a loss: in points of robust accuracy, or in percent of the distance before."""

    metric: str  # robust accuracy, or what the distance is: rho, median rho, ...
    before: float  # percent, or distance
    after: float
    drop: float
    margin: float
    lost: int  # samples for the worse
    won: int
    n: int
    p: float  # one-sided, of a loss
    p_gain: float  # of a gain
    losses: Values  # per sample, in the unit of `drop`; their mean is `drop`; none of a median
    adjusted: float = 1.0
    adjusted_gain: float = 1.0
    level: float = 0.05  # what p must not exceed where nothing else in the run is significant

    @property
    def of_accuracy(self) -> bool:
        return self.metric == "robust accuracy"

    @property
    def of_median(self) -> bool:
        return self.metric.startswith("median ")

    @property
    def tested(self) -> bool:
        """Whether there was anything to lose."""
        return self.before > 0

    @cached_property
    def interval(self) -> Estimate:
        """The drop with its 95 % paired bootstrap interval; NaN ends: none (a median, or too few samples)."""
        if self.of_median:
            return Estimate(self.drop, float("nan"), float("nan"), self.n)
        return bootstrap_mean(self.losses)

    @cached_property
    def detectable(self) -> float:
        """The smallest drop that would fail in 80 % of runs at this n and churn; inf: none; NaN: unknown (medians)."""
        if self.of_accuracy:
            found = detectable(self.n, self.won, self.level, self.margin)
            return found if found <= self.before else float("inf")
        if self.of_median:
            return float("nan")
        from scipy.special import ndtri

        if self.n < 2:
            return float("inf")
        spread = float(self.losses.std(ddof=1)) / self.n**0.5  # beyond the margin, and certain: in 80 % of runs each
        return float(spread * ndtri(POWER) + max(self.margin, -spread * ndtri(self.level)))

    def worse(self, gate: Gate) -> bool:
        """Beyond the margin, and certain unless the gate's mode is `point`."""
        certain = gate.mode == "point" or self.adjusted <= _alpha(gate)
        return certain and self.drop > self.margin

    def better(self, gate: Gate) -> bool:
        """The reverse of `worse`, always tested: an offer must not be a coin toss."""
        return self.adjusted_gain <= _alpha(gate) and -self.drop > self.margin


def findings(pairs: Sequence[Pairs], gate: Gate) -> list[tuple[Finding, ...]]:
    """What was found of each gate, p-values corrected over all of them."""
    raw = [tuple(_findings(pair, gate)) for pair in pairs]
    flat = [finding for group in raw for finding in group]
    # what was at 0 cannot fall and what was at 100 % cannot rise, whatever the run says: no test, no correction for it
    losses = _corrected([finding.p if finding.before > 0 else None for finding in flat])
    full = [finding.of_accuracy and finding.before == 100 for finding in flat]
    gains = _corrected([None if top else finding.p_gain for finding, top in zip(flat, full, strict=True)])
    level = _alpha(gate) / max(1, sum(finding.tested for finding in flat))
    corrected = iter(
        replace(finding, adjusted=loss, adjusted_gain=gain, level=level)
        for finding, loss, gain in zip(flat, losses, gains, strict=True)
    )
    return [tuple(next(corrected) for _ in group) for group in raw]


def _corrected(p: Sequence[float | None]) -> list[float]:
    adjusted = iter(holm([value for value in p if value is not None]))
    return [1.0 if value is None else next(adjusted) for value in p]


def _findings(pair: Pairs, gate: Gate) -> list[Finding]:
    found = [_accuracy(*pair.robust, pair.limits.max_drop)]
    if pair.distance is not None and len(pair.distance[0]):
        margin, reached = pair.limits.max_distance_drop, [np.isfinite(side) for side in pair.distance]
        if min(side.mean() for side in reached) >= ENOUGH:
            first, second = (side[reached[0] & reached[1]] for side in pair.distance)
            found.append(_distance(first, second, gate.distance, margin))
        else:
            found.append(_medians(*pair.distance, gate.distance, margin))
    return found


def _accuracy(before: Flags, after: Flags, margin: float) -> Finding:
    n, lost, won = len(before), int((before & ~after).sum()), int((~before & after).sum())
    shares = [100 * float(side.sum()) / n for side in (before, after)]
    return Finding(
        metric="robust accuracy",
        before=shares[0],
        after=shares[1],
        drop=100 * (lost - won) / n,
        margin=margin,
        lost=lost,
        won=won,
        n=n,
        p=mcnemar(lost, won, one_sided=True),
        p_gain=mcnemar(won, lost, one_sided=True),
        losses=100 * (before.astype(np.float64) - after),
    )


def _distance(before: Values, after: Values, metric: str, margin: float) -> Finding:
    """Smaller distances are a loss."""
    mean = float(before.mean())
    losses = 100 * (before - after) / mean if mean > 0 else np.zeros(len(before))
    return Finding(
        metric=metric,
        before=mean,
        after=float(after.mean()),
        drop=float(losses.mean()),
        margin=margin,
        lost=int((losses > 0).sum()),
        won=int((losses < 0).sum()),
        n=len(before),
        p=_wilcoxon(losses),
        p_gain=_wilcoxon(-losses),
        losses=losses,
    )


def _medians(before: Values, after: Values, metric: str, margin: float) -> Finding:
    """Where failures are among them: medians that count them as infinite, and the sign test over pairs."""
    first, second = median(before).value, median(after).value
    return Finding(
        metric=f"median {metric}",
        before=first,
        after=second,
        drop=_fall(first, second),
        margin=margin,
        lost=int((after < before).sum()),
        won=int((after > before).sum()),
        n=len(before),
        p=sign_test(before, after, one_sided=True),
        p_gain=sign_test(after, before, one_sided=True),
        losses=np.zeros(0),
    )


def _fall(before: float, after: float) -> float:
    """Percent that a median has lost; from infinity to a number, all of it."""
    if before in {after, 0.0}:
        return 0.0
    return 100.0 if np.isinf(before) else 100 * (1 - after / before)


def _wilcoxon(losses: Values) -> float:
    """One-sided p-value of Wilcoxon's signed-rank test: losses are above 0. Equal pairs are left out."""
    changed = losses[losses != 0]
    if len(changed) == 0:
        return 1.0
    from scipy.stats import wilcoxon  # a second of import: only where distances changed

    return float(wilcoxon(changed, alternative="greater", correction=True).pvalue)


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


def floors(pair: Pairs, gate: Gate) -> list[str]:
    """A sentence for every floor that is not reached."""
    out, limits, n = [], pair.limits, len(pair.robust[1])
    if limits.min_robust_accuracy is not None:
        count = int(pair.robust[1].sum())
        low = clopper_pearson(count, n, gate.confidence)[0] if gate.mode == "test" else count / n
        if 100 * low < limits.min_robust_accuracy:
            bound = f", at least {percent(low)} % (Clopper-Pearson, n={n})" if gate.mode == "test" else f", n={n}"
            out.append(
                f"robust accuracy is {percent(count / n)} %{bound}: the floor is {limits.min_robust_accuracy:g} %"
            )
    if limits.min_rho is not None and pair.rho is not None:
        out += _floor_of_rho(pair.rho, limits.min_rho, gate)
    return out


def _floor_of_rho(rho: Values, least: float, gate: Gate) -> list[str]:
    """On the mean, or with failures among them, which no mean counts, on the median."""
    size = size_of(rho, np.isfinite(rho), gate.confidence)
    found, n = size.estimate, len(rho)
    low = found.low if gate.mode == "test" else found.value
    if low >= least:
        return []
    bound = f", at least {low:.3g}" if gate.mode == "test" else ""
    bound = ", too few samples for a bound" if np.isnan(low) else bound
    broken = "" if size.statistic == "mean" else f", {percent(size.success)} % broken"
    return [f"{size.statistic} rho is {found.value:.3g}{bound} (n={n}{broken}): the floor is {least:g}"]


def _alpha(gate: Gate) -> float:
    return 1 - gate.confidence
