"""What one cell of a run became in another: the samples that both have, pair by pair. Pure functions of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation, through
from robustbench_lite.results.paired_tests import mcnemar, permuted, sign_test
from robustbench_lite.results.statistics import Size, size_of

__all__ = ["Change", "common"]

_ALPHA = 0.05


@dataclass(frozen=True)
class Change:
    """One cell of A beside its partner in B, as one classifier scored each: the samples that both have."""

    a: Evaluation
    b: Evaluation
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # of the common samples, in the order of A
    red: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # why the number of either side does not stand
    adjusted: float = 1.0  # `main_p`, corrected over all comparisons (Holm)

    @property
    def model(self) -> str:
        names = self.a.model if self.a.model == self.b.model else f"{self.a.model} / {self.b.model}"
        return names if self.a.own and self.b.own else f"{names}, attacked through {through(self.a.cell)}"

    @property
    def variant(self) -> str:
        return self.a.variant

    @property
    def n(self) -> int:
        return len(self.places[0])

    @property
    def ok(self) -> bool:
        """Whether there are numbers to compare."""
        return self.a.ok and self.b.ok and self.n > 0

    @cached_property
    def robust(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """(n,), (n,) correct before and after the attack."""
        first, second = self.places
        return self.a.robust[first], self.b.robust[second]

    @property
    def lost(self) -> int:
        return int((self.robust[0] & ~self.robust[1]).sum())

    @property
    def won(self) -> int:
        return int((~self.robust[0] & self.robust[1]).sum())

    @property
    def p(self) -> float:
        return mcnemar(self.lost, self.won)

    @property
    def minimal(self) -> bool:
        """Whether the attack looks for the smallest perturbation, so that there are sizes."""
        return self.a.minimal

    @cached_property
    def sizes(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(n,), (n,) sizes relative to the image, infinite where the attack failed, or the image is black."""
        first, second = (np.nan_to_num(one.needed, nan=np.inf, posinf=np.inf) for one in (self.a, self.b))
        return first[self.places[0]], second[self.places[1]]

    @cached_property
    def size(self) -> tuple[Size, Size]:
        first, second = (size_of(part, np.isfinite(part)) for part in self.sizes)
        return first, second

    @cached_property
    def size_p(self) -> float:
        """Two-sided p-value that sizes are the same."""
        if any(part.statistic == "median" for part in self.size):
            return sign_test(*self.sizes)
        both = np.isfinite(self.sizes[0]) & np.isfinite(self.sizes[1])
        return permuted(self.sizes[1][both] - self.sizes[0][both])

    @property
    def of_sizes(self) -> bool:
        """Whether sizes tell more than verdicts: of minimal attacks, but not where all samples share one size."""
        return self.a.unbounded

    @property
    def main_p(self) -> float:
        return self.size_p if self.of_sizes else self.p

    @property
    def balance(self) -> tuple[int, int]:
        """Samples for the worse and for the better from A to B."""
        if not self.of_sizes:
            return self.lost, self.won
        return int((self.sizes[1] < self.sizes[0]).sum()), int((self.sizes[1] > self.sizes[0]).sum())

    @property
    def direction(self) -> int:
        """-1 where B is certainly worse than A, 1 where it is certainly better, else 0."""
        return self._way if self.stands and self.adjusted <= _ALPHA else 0

    @property
    def stands(self) -> bool:
        """Whether the comparison can be believed: a number that does not stand can only look too robust."""
        return self.ok and not self.red[0 if self._way < 0 else 1] and not (self._way == 0 and any(self.red))

    @property
    def _way(self) -> int:
        """Whether B looks worse (-1) or better (1) than A."""
        if self.of_sizes and self.size[0].statistic == self.size[1].statistic == "mean":
            return int(np.sign(self.size[1].estimate.value - self.size[0].estimate.value))
        return int(np.sign(self.balance[1] - self.balance[0]))


def common(a: Evaluation, b: Evaluation) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the samples that both have, in the order of the first."""
    places = {sample: i for i, sample in enumerate(b.samples)}
    both = [(i, places[s]) for i, s in enumerate(a.samples) if s in places]
    pairs = np.array(both, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
