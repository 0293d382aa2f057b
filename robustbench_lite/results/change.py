"""What one cell of a run became in another: the samples that both have, pair by pair. Pure functions of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from json import loads

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Group, through
from robustbench_lite.results.statistics import Size, mcnemar, permuted, sign_test, size_of

__all__ = ["Change", "common"]

_ALPHA = 0.05


@dataclass(frozen=True)
class Change:
    """One cell of A beside its partner in B, as one classifier scored each: the samples that both have."""

    a: Group
    b: Group
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # of the common samples, in the order of A
    red: tuple[str, str] = ("", "")  # why the number of either side does not stand; empty: it does
    adjusted: float = 1.0  # `main_p`, corrected over all comparisons (Holm)

    @property
    def model(self) -> str:
        names = self.a.model if self.a.model == self.b.model else f"{self.a.model} / {self.b.model}"
        own = self.a.cell["source"] == self.a.model and self.b.cell["source"] == self.b.model
        return names if own else f"{names}, attacked through {through(self.a.cell)}"

    @property
    def variant(self) -> str:
        return str(self.a.cell["variant"])

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
        return _robust(self.a)[first], _robust(self.b)[second]

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
        return self.a.cell["eps"] is None and self.a.cell["norm"] is not None

    @cached_property
    def sizes(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(n,), (n,) sizes relative to the image, infinite where the attack failed."""
        column = "rho_linf" if self.a.cell["norm"] == "linf" else "rho"
        found = []
        for group, place in zip((self.a, self.b), self.places, strict=True):
            size, reached = group[column].astype(np.float64)[place], group["success"].astype(bool)[place]
            found.append(np.where(reached & np.isfinite(size), size, np.inf))
        return found[0], found[1]

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
        return self.minimal and not loads(self.a.cell["params"] or "{}").get("fraction")

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


def common(a: Group, b: Group) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the samples that both have, in the order of the first."""
    places = {sample: i for i, sample in enumerate(b.rows["sample"].to_pylist())}
    both = [(i, places[s]) for i, s in enumerate(a.rows["sample"].to_pylist()) if s in places]
    pairs = np.array(both, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _robust(group: Group) -> npt.NDArray[np.bool_]:
    """Correct before and after the attack."""
    found: npt.NDArray[np.bool_] = group["clean_correct"].astype(bool) & (group["adv_pred"] == group["label"])
    return found
