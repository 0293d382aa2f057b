"""Did it become less robust? Paired samples in, findings out. Pure functions; no files, no names of anything.

A loss fails a gate when it is larger than the margin *and* certain: exact one-sided McNemar test on verdicts that
flipped, one-sided Wilcoxon signed-rank test on distances (sign test where failures are among them), Holm's
correction over all tests of the run. So a run without any real change fails with at most 1 - confidence, however many
gates it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robustbench_lite.gate.power import POWER, detectable
from robustbench_lite.gate.rules import Gate, Limits
from robustbench_lite.results.paired_tests import holm, mcnemar, sign_test
from robustbench_lite.results.statistics import (
    ENOUGH,
    Estimate,
    bootstrap_mean,
    clopper_pearson,
    median,
    size_of,
)
from robustbench_lite.text import percent

__all__ = ["Finding", "Pairs", "findings", "floors"]

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """One gate: the same samples before and after.

    `robust`: correct before and after the attack (n,), (n,). `distance`: sizes of the perturbation (n,), (n,), infinite
    where the attack failed. `rho`: sizes of the run that is checked (n,), likewise. `worst`: correct after every attack
    of that run within this budget (n,); None: as `robust`.
    """

    robust: tuple[Flags, Flags]
    distance: tuple[Values, Values] | None = None
    rho: Values | None = None
    limits: Limits = field(default_factory=Limits)
    worst: Flags | None = None

    @property
    def held(self) -> Flags:
        """(n,) what is robust in the run that is checked, whichever of its attacks is asked."""
        return self.robust[1] if self.worst is None else self.worst


@dataclass(frozen=True)
class Finding:
    """One comparison. `drop` > 0 is a loss: in points of robust accuracy, or in percent of the distance before."""

    metric: str  # robust accuracy, or what the distance is: rho, median rho, ...
    before: float  # percent, or distance
    after: float
    drop: float
    gain: float  # the same the other way round; of robust accuracy what is left of it under every attack of the run
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
        return self.adjusted_gain <= _alpha(gate) and self.gain > self.margin


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
    found = [_accuracy(*pair.robust, pair.held, pair.limits.max_drop)]
    if pair.distance is not None and len(pair.distance[0]):
        margin, reached = pair.limits.max_distance_drop, [np.isfinite(side) for side in pair.distance]
        if min(side.mean() for side in reached) >= ENOUGH:
            first, second = (side[reached[0] & reached[1]] for side in pair.distance)
            found.append(_distance(first, second, gate.distance, margin))
        else:
            found.append(_medians(*pair.distance, gate.distance, margin))
    return found


def _accuracy(before: Flags, after: Flags, held: Flags, margin: float) -> Finding:
    """A loss is one under this attack; a gain is one that no other attack of the run takes back: of what is `held`."""
    n, (lost, won), (less, more) = len(before), _flips(before, after), _flips(before, held)
    shares = [100 * float(side.sum()) / n for side in (before, after)]
    return Finding(
        metric="robust accuracy",
        before=shares[0],
        after=shares[1],
        drop=100 * (lost - won) / n,
        gain=100 * (more - less) / n,
        margin=margin,
        lost=lost,
        won=won,
        n=n,
        p=mcnemar(lost, won, one_sided=True),
        p_gain=mcnemar(more, less, one_sided=True),
        losses=100 * (before.astype(np.float64) - after),
    )


def _flips(before: Flags, after: Flags) -> tuple[int, int]:
    """How many were lost and won."""
    return int((before & ~after).sum()), int((~before & after).sum())


def _distance(before: Values, after: Values, metric: str, margin: float) -> Finding:
    """Smaller distances are a loss."""
    mean = float(before.mean())
    losses = 100 * (before - after) / mean if mean > 0 else np.zeros(len(before))
    return Finding(
        metric=metric,
        before=mean,
        after=float(after.mean()),
        drop=(drop := float(losses.mean())),
        gain=-drop,
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
        drop=(drop := _fall(first, second)),
        gain=-drop,
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


def floors(pair: Pairs, gate: Gate) -> list[str]:
    """A sentence for every floor that is not reached."""
    limits = pair.limits
    out = _floor_of_accuracy("robust accuracy", pair.robust[1], limits.min_robust_accuracy, gate)
    out += _floor_of_accuracy("robust accuracy, worst case,", pair.held, limits.min_worst_case, gate)
    if limits.min_rho is not None and pair.rho is not None:
        out += _floor_of_rho(pair.rho, limits.min_rho, gate)
    return out


def _floor_of_accuracy(what: str, held: Flags, least: float | None, gate: Gate) -> list[str]:
    """On the lower bound of the share that is `held` (n,)."""
    count, n = int(held.sum()), len(held)
    low = clopper_pearson(count, n, gate.confidence)[0] if gate.mode == "test" else count / n
    if least is None or 100 * low >= least:
        return []
    bound = f", at least {percent(low)} % (Clopper-Pearson, n={n})" if gate.mode == "test" else f", n={n}"
    return [f"{what} is {percent(count / n)} %{bound}: the floor is {least:g} %"]


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
