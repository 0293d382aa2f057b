"""Robust accuracy as the budget grows: of each sample the smallest size with which any attack of the run broke it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Reals
from robustbench_lite.results.statistics import Estimate, bootstrap_ratio, wilson
from robustbench_lite.results.worst_case import Pool, Threat, allowed, pools, success_sizes

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Curve", "curves", "optimality"]


@dataclass(frozen=True)
class Curve:
    """One classifier under one threat. `sizes` (n,): 0 where it was wrong before, infinite where nothing broke it.

    The larger the budget the fewer samples need more, so that no curve ever rises.
    """

    pool: Pool
    samples: tuple[str, ...]
    sizes: Reals

    @property
    def threat(self) -> Threat:
        return self.pool.threat

    @property
    def attacks(self) -> tuple[Evaluation, ...]:
        """The finished attacks on this classifier itself."""
        return self.pool.own

    @property
    def n(self) -> int:
        return len(self.sizes)

    @property
    def whole(self) -> bool:
        """Whether an attack looked for the smallest size, so that the curve says something at every budget."""
        return any(one.unbounded for one in self.attacks)

    @property
    def budgets(self) -> list[float]:
        """At which attacks were run: without smallest sizes the curve says something only there."""
        return sorted({one.epsilon for one in self.attacks if one.epsilon is not None})

    def own_sizes(self, one: Evaluation) -> Reals:
        """(n,) what one of its attacks found on the same samples, in their order; infinite where it found nothing."""
        found = np.where(one["clean_correct"], success_sizes(one), 0.0)
        places = {sample: i for i, sample in enumerate(one.samples)}
        return found[[places[sample] for sample in self.samples]]

    def at(self, epsilon: float) -> Estimate:
        """The share of all samples that is robust at this budget; at none, that is right before any attack."""
        return wilson(int((self.sizes > (allowed(epsilon) if epsilon else 0)).sum()), self.n)

    def steps(self) -> list[float]:
        """The budgets at which it falls, the clean accuracy at 0 before them."""
        finite = self.sizes[np.isfinite(self.sizes) & (self.sizes > 0)]
        return [0.0, *(np.unique(finite).tolist() if self.whole else self.budgets)]


def curves(results: Results) -> list[Curve]:
    """One for each classifier that was attacked itself and each threat, in the order of the run."""
    return [Curve(pool, *_smallest(pool)) for pool in pools(results) if pool.own]


def _smallest(pool: Pool) -> tuple[tuple[str, ...], Reals]:
    """The samples that attacks on this classifier had, and (n,) the smallest success on each; 0: wrong before."""
    found: dict[str, float] = {}
    for one in pool.own:
        for sample, size in zip(one.samples, pool.sizes(one).tolist(), strict=True):
            found[sample] = min(size, found.get(sample, np.inf))
    return tuple(found), np.array([*found.values()], np.float64)


def optimality(sizes: Reals, best: Reals) -> Estimate:
    """How near an attack's sizes (n,) come to the best known (n,): 1, the same; 0, as good as none; NaN: undefined.

    Local optimality of AttackBench (Cina et al., https://arxiv.org/abs/2404.19460): areas under robust accuracy against
    size, up to the largest of the best sizes. 0 stands for wrong before, infinity for not broken. Each area is a mean
    over samples, so that this is a ratio of means; its interval is for that largest size as it is.
    """
    most = float(best[np.isfinite(best)].max(initial=0.0))
    room = np.where(best > 0, most, 0.0) - np.minimum(best, most)
    lost = np.minimum(sizes, most) - np.minimum(best, most)
    return bootstrap_ratio(room - lost, room)
