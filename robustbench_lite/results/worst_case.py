"""Robust accuracy is a worst case: the one rule by which a sample is robust at a budget, for all who say so.

A sample is robust at a budget only if it is classified correctly, and no judged success of the same run, data,
classifier and norm has a size within that budget: by any attack, with or without a budget, aimed at a class or not,
made for this classifier or for others.

A success is an image that the judge found to be classified as something else than its label, from one that was right
before: that of a targeted attack too, be it the target or not, and in a cell of which other samples failed. What it
does not count, because it is another threat model: successes in random views for the image itself; attacks that no norm
describes (rotations, stickers, objects); images that may leave [0, 1] where images may not. A universal perturbation is
one that each image may have, and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.registry import canonical
from robustbench_lite.results.evaluation import Evaluation, Flags, Reals
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.schema import Row
from robustbench_lite.text import budget

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = [
    "Pool",
    "Threat",
    "WorstCase",
    "allowed",
    "pool_of",
    "pools",
    "robust",
    "success_sizes",
    "worst_case_of",
    "worst_cases",
]


def allowed(epsilon: float) -> float:
    """The largest size that counts as within a budget: that of float32 images. The judge asks here too."""
    return epsilon * (1 + 1e-5) + 1e-6


@dataclass(frozen=True)
class Threat:
    """Who is attacked on which images, and in which norm changes are measured; `clipped`: images stay in [0, 1]."""

    dataset: str
    model: str
    norm: str
    clipped: bool

    @classmethod
    def of(cls, one: Evaluation) -> Threat | None:
        """What an evaluation is about; None: no norm describes it, or images were scored in random views."""
        if one.norm is None or one.viewed:
            return None
        return cls(one.dataset, one.model, one.norm, one.clipped)


def success_sizes(one: Evaluation) -> Reals:
    """(n,) size in its norm with which each sample that was right became wrong; infinite: it did not, or failed."""
    left = one["clean_correct"] & ~one.correct
    if not one.ok:
        left &= one["status"] == "ok"
    size = one.size
    if one.epsilon is not None:
        size = np.fmin(size, one.epsilon)  # it was judged to be within, up to the rounding of float32
    return np.where(left & ~np.isnan(size), size, np.inf)


class Nearest(NamedTuple):
    """Of samples (n,) the smallest success: its size (infinite: none), of which member of a pool, in which row."""

    sizes: Reals
    members: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """All evaluations of a run whose successes count under one threat, those with failed samples too."""

    threat: Threat
    members: tuple[Evaluation, ...]

    @cached_property
    def own(self) -> tuple[Evaluation, ...]:
        """The finished ones that attacked this classifier itself, with images as this threat has them."""
        return tuple(one for one in self.members if one.ok and one.own and one.clipped == self.threat.clipped)

    def nearest(self, samples: Sequence[str]) -> Nearest:
        """The smallest success on each of these samples (n,) of its members."""
        at = np.array([self._places[sample] for sample in samples], np.int64)
        least = self._least
        return Nearest(least.sizes[at], least.members[at], least.rows[at])

    def sizes(self, one: Evaluation) -> Reals:
        """(n,) the smallest success on each sample of `one`: 0 where it was wrong before, infinite where none is."""
        return np.where(one["clean_correct"], self.nearest(one.samples).sizes, 0.0)

    @cached_property
    def successes(self) -> tuple[Reals, ...]:
        """Of each member (n,) the sizes of its successes, infinite where there is none."""
        return tuple(success_sizes(one) for one in self.members)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each sample lies in the columns of `_least`."""
        samples = dict.fromkeys(chain.from_iterable(one.samples for one in self.members))
        return {sample: i for i, sample in enumerate(samples)}

    @cached_property
    def _least(self) -> Nearest:
        n = len(self._places)
        least = Nearest(np.full(n, np.inf), np.full(n, -1), np.full(n, -1))
        for member, (one, sizes) in enumerate(zip(self.members, self.successes, strict=True)):
            at = np.array([self._places[sample] for sample in one.samples], np.int64)
            better = np.flatnonzero(sizes < least.sizes[at])
            least.sizes[at[better]] = sizes[better]
            least.members[at[better]] = member
            least.rows[at[better]] = better
        return least


def pools(results: Results) -> list[Pool]:
    """Every threat of a run with the evaluations that count, in the order of the run."""
    if "pools" not in results.memo:
        found: dict[Threat, list[Evaluation]] = {}
        for one in evaluations(results):
            if len(one) and (threat := Threat.of(one)):
                found.setdefault(threat, []).append(one)
        inside = {(at.dataset, at.model, at.norm): members for at, members in found.items() if at.clipped}
        for at in found:
            if not at.clipped:  # who may leave the box need not
                found[at] += inside.get((at.dataset, at.model, at.norm), [])
        results.memo["pools"] = {at: Pool(at, tuple(members)) for at, members in found.items()}
    return list(results.memo["pools"].values())


def pool_of(results: Results, one: Evaluation) -> Pool | None:
    """The pool that an evaluation belongs to; None where it is about no threat that a norm describes."""
    pools(results)
    threat = Threat.of(one)
    found: Pool | None = None if threat is None else results.memo["pools"].get(threat)
    return found


def robust(results: Results, one: Evaluation) -> Flags:
    """(n,) whether each sample of `one`, attacked itself, is robust at its budget under every attack of the run.

    Under its own attack where there is no budget to be within, or where the attacker saw not just this classifier.
    """
    pool = pool_of(results, one)
    if pool is None or one.epsilon is None or not one.own:
        return one.robust
    return one.robust & (pool.sizes(one) > allowed(one.epsilon))


@dataclass(frozen=True)
class WorstCase:
    """One classifier at one budget, under all attacks of the run. `attacks`: those with this very budget on it."""

    pool: Pool
    epsilon: float
    attacks: tuple[Evaluation, ...]

    @cached_property
    def samples(self) -> list[str]:
        """The ids of all samples that an attack with this budget was run on."""
        return list(self._rows)

    @cached_property
    def clean(self) -> Flags:
        """(n,) which samples were right before any attack."""
        return np.array([self.attacks[place]["clean_correct"][row] for place, row, _ in self._rows.values()], np.bool_)

    @cached_property
    def robust(self) -> Flags:
        """(n,) which samples are right before and after every attack."""
        return self._held & ~self._within

    @cached_property
    def proven(self) -> Flags | None:
        """(n,) which samples are proven to be robust at this budget, or a larger one; None: nothing was to be."""
        asked = [one for one in self.pool.own if one.cell["certify"] and (one.epsilon or 0) >= self.epsilon]
        sure = {
            s for one in asked for s, is_sure in zip(one.samples, one["certified"].tolist(), strict=True) if is_sure
        }
        return np.array([sample in sure for sample in self.samples], np.bool_) if asked else None

    @cached_property
    def evaluation(self) -> Evaluation:
        """Its samples as if one attack had done all: of each the smallest success within the budget, if there is one.

        Otherwise the row of an attack with this budget, of one that broke it if there is such.
        """
        parts = [*self.pool.members, *self.attacks]
        starts = np.cumsum([0, *map(len, parts)])
        own = [starts[len(self.pool.members) + place] + row for place, row, _ in self._rows.values()]
        places = np.where(self._within, starts[self._nearest.members] + self._nearest.rows, own)
        rows = pa.concat_tables(one.rows for one in parts).take(pa.array(places.tolist(), pa.int64()))
        return Evaluation(self._cell, self.pool.threat.model, rows)

    @cached_property
    def others(self) -> tuple[Evaluation, ...]:
        """Whose successes within this budget broke what none of `attacks` did."""
        found = np.unique(self._nearest.members[self._held & self._within])
        return tuple(self.pool.members[place] for place in found.tolist())

    @cached_property
    def _nearest(self) -> Nearest:
        return self.pool.nearest(self.samples)

    @property
    def _within(self) -> Flags:
        """(n,) on which samples something succeeded within the budget."""
        return self._nearest.sizes <= allowed(self.epsilon)

    @property
    def _held(self) -> Flags:
        """(n,) which samples are robust under each of `attacks` alone."""
        return np.array([right for *_, right in self._rows.values()], np.bool_)

    @cached_property
    def _rows(self) -> dict[str, tuple[int, int, bool]]:
        """Of each sample which of `attacks` has it, where, and whether it is robust there: in all that have it."""
        found: dict[str, tuple[int, int, bool]] = {}
        for place, one in enumerate(self.attacks):
            for row, (sample, right) in enumerate(zip(one.samples, one.robust.tolist(), strict=True)):
                if sample not in found or (found[sample][2] and not right):
                    found[sample] = place, row, right
        return found

    @property
    def _cell(self) -> Row:
        """What a cell of that one attack would say."""
        first, at = self.attacks[0].cell, self.pool.threat
        return first | {
            "cell": "+".join(one.id for one in self.attacks),
            "attack": "worst_case",
            "variant": f"worst case, {at.norm} at most {budget(self.epsilon)}{'' if at.clipped else ', unclipped'}",
            "params": canonical({"clip": at.clipped, "epsilon": self.epsilon, "norm": at.norm}),
            "goal": "label",
            "warnings": [],
            "warning_kinds": [],
            "forwards": sum(one.cell["forwards"] or 0 for one in self.pool.members),
            "backwards": sum(one.cell["backwards"] or 0 for one in self.pool.members),
        }


def worst_cases(results: Results) -> list[WorstCase]:
    """Every classifier at every budget that an attack on it had, in the order of the run."""
    if "worst cases" not in results.memo:
        found: dict[tuple[Threat, float], WorstCase] = {}
        for pool in pools(results):
            for epsilon in dict.fromkeys(one.epsilon for one in pool.own if one.epsilon is not None):
                attacks = tuple(one for one in pool.own if one.epsilon == epsilon)
                found[pool.threat, epsilon] = WorstCase(pool, epsilon, attacks)
        results.memo["worst cases"] = found
    return list(results.memo["worst cases"].values())


def worst_case_of(results: Results, one: Evaluation) -> WorstCase | None:
    """The worst case at the budget of an attack on this classifier; None where it has none, or attacked others."""
    worst_cases(results)
    found: WorstCase | None = results.memo["worst cases"].get((Threat.of(one), one.epsilon)) if one.own else None
    return found
