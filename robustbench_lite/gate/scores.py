"""One side of a gate: a cell as one classifier scored it, with what a comparison needs of its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.worst_case import robust
from robustbench_lite.trust.smell import Doubt, doubts_of

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["FACTS", "Scores", "scores_of"]

FACTS = ("dataset", "source", "model", "attack", "variant", "params", "version", "norm", "seed", "weights")


@dataclass(frozen=True)
class Scores:
    """One gate's side: a cell as one classifier scored it, samples in the order of their ids."""

    facts: dict[str, Any]
    samples: list[str]
    labels: npt.NDArray[np.int64]
    robust: npt.NDArray[np.bool_]
    success: npt.NDArray[np.bool_]
    distances: dict[str, npt.NDArray[np.float64]] | None = None  # rho and l2, of a minimal attack; float32 values
    through: str = ""  # whose adversarials it saw, in few words; "": its own
    trouble: str = ""  # why there is no number
    cost: float | None = None  # the attack's wall time per sample, in passes of its own run; never in a file
    red: tuple[str, ...] | None = None  # names of the checks after which the number does not stand; None: not known
    doubts: tuple[Doubt, ...] = ()  # what they found; never in a file
    worst: npt.NDArray[np.bool_] | None = None  # robust under every attack of the run; never in a file; None: unknown

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two sides comparable: not the seed, not the weights."""
        return tuple(str(self.facts[name]) for name in ("dataset", "source", "model", "attack", "params"))

    @property
    def dataset(self) -> str:
        return str(self.facts["dataset"])

    @property
    def model(self) -> str:
        return str(self.facts["model"])

    @property
    def attack(self) -> str:
        return str(self.facts["attack"])

    @property
    def variant(self) -> str:
        return str(self.facts["variant"])

    @property
    def name(self) -> str:
        """Classifier, attack, dataset: what people call this gate."""
        seen = f" attacked through {self.through}" if self.through else ""
        return f"{self.model}{seen} · {self.variant} · {self.dataset}"

    @property
    def sizes(self) -> dict[str, npt.NDArray[np.float64]] | None:
        """The distances, infinite where the attack failed."""
        if self.distances is None:
            return None
        found = self.distances.items()
        return {name: np.where(self.success & np.isfinite(value), value, np.inf) for name, value in found}


def scores_of(results: Results) -> tuple[Scores, ...]:
    """Every gate of a run, failed ones included."""
    return tuple(_scores(results, one, doubts_of(results, one)) for one in evaluations(results))


def _scores(results: Results, one: Evaluation, red: tuple[Doubt, ...]) -> Scores:
    facts = {name: one.cell.get(name) for name in FACTS} | {"model": one.model, "weights": None}
    if not one.ok:
        none = np.zeros(0, np.bool_)
        return Scores(facts, [], np.zeros(0, np.int64), none, none, None, one.through, one.trouble)
    order = sorted(range(len(one)), key=one.samples.__getitem__)
    return Scores(
        facts | {"weights": one.rows["weights"][0].as_py()},
        [one.samples[i] for i in order],
        one["label"][order],
        one.robust[order],
        one.success[order],
        _distances(one, order),
        one.through,
        cost=_cost(one),
        red=tuple(doubt.check for doubt in red),
        doubts=red,
        worst=robust(results, one)[order],
    )


def _distances(one: Evaluation, order: list[int]) -> dict[str, npt.NDArray[np.float64]] | None:
    """Sizes of the perturbations of an attack that looks for the smallest, as a baseline holds them."""
    if not one.minimal:
        return None
    columns = {"rho": one.relative_size, "l2": one["l2"]}
    return {name: column.astype(np.float32)[order].astype(np.float64) for name, column in columns.items()}


def _cost(one: Evaluation) -> float | None:
    """Passes per sample, each as long as the forward or backward passes of this very run took."""
    cell = one.cell
    inside = (cell["seconds_forward"] or 0) + (cell["seconds_backward"] or 0)
    if not (inside > 0 and one.passes and cell["n"] and cell["seconds"]):
        return None
    return float(cell["seconds"] / inside * one.passes / cell["n"])
