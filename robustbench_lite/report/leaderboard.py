"""Leaderboards: every classifier of many runs under one threat model, by its worst case, the most robust first.

A number that does not stand has no rank. Who cannot be told from the first is said by a paired test on the samples that
both have, not by intervals. The same worst case as everywhere counts (`results.worst_case`): that of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from robustbench_lite.report.headline import ALPHA
from robustbench_lite.report.ranking import in_short
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.text import bracketed, budget, listed, p_equals, percent, plural
from robustbench_lite.trust.smell import doubts_of, findings

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Board", "Standing", "boards"]

State = Literal["first", "tied", "worse", "red", "apart"]


@dataclass(frozen=True)
class Standing:
    """One classifier of one run under one threat model."""

    run: int  # its place among the runs
    called: str  # the run
    model: str
    cells: tuple[str, ...]
    attacks: tuple[str, ...]  # with this budget, and those that broke more within it
    met: frozenset[str]  # all in this norm
    robust: Estimate
    clean: Estimate
    passes: float  # forward and backward, a sample
    seconds: float  # of all attacks
    autoattack: float | None  # what it alone leaves robust; None: it was not run
    red: str  # why the number does not stand; empty: it does
    warnings: int
    held: dict[str, bool]  # whether each sample is robust
    state: State = "first"
    beside: str = ""  # how it compares with the first

    @property
    def trust(self) -> tuple[str, str]:
        """How the page colours it, and what it says."""
        if self.red:
            return "doubt", "does not stand"
        if self.warnings:
            return "warning", plural(self.warnings, "warning")
        return "ok", "no warning"


@dataclass(frozen=True)
class Board:
    """One threat model on one dataset: the most robust first, what does not stand last."""

    dataset: str
    norm: str
    clipped: bool
    epsilon: float
    standings: tuple[Standing, ...]

    @property
    def threat(self) -> str:
        return f"{self.norm} at most {budget(self.epsilon)}{'' if self.clipped else ', images may leave [0, 1]'}"

    @property
    def name(self) -> str:
        return f"{self.dataset}: {self.threat}"

    @property
    def answer(self) -> str:
        """Who is first, with what, and who cannot be told from it."""
        known = [one for one in self.standings if not one.red]
        if not known:
            return "No number here stands."
        first, *_ = known
        value = bracketed(*(percent(part) for part in (first.robust.value, first.robust.low, first.robust.high)))
        if first.robust.value == 0:
            return f"Nobody holds out: every image of {first.robust.n} is misclassified under attack."
        tied = [one.model for one in known if one.state == "tied"]
        said = f"{first.model} is first: {value} % of {first.robust.n} images stay right under every attack"
        return f"{said}; {listed(tied, 3)} cannot be told from it." if tied else f"{said}."

    @property
    def cautions(self) -> list[str]:
        """What makes the numbers less comparable than they look."""
        out = []
        if len({one.met for one in self.standings}) > 1:
            out.append("Not all met the same attacks: a classifier that met fewer may look more robust than it is.")
        if len({frozenset(one.held) for one in self.standings}) > 1:
            out.append("Not all were attacked on the same images; tests use those that both have.")
        return out


def boards(runs: Sequence[Results]) -> list[Board]:
    """Of every dataset and threat model with a budget in a norm; the datasets in the order of the runs."""
    found: dict[tuple[str, str, bool, float], list[Standing]] = {}
    for place, results in enumerate(runs):
        for case in worst_cases(results):
            at = case.pool.threat
            key = (at.dataset, at.norm, at.clipped, case.epsilon)
            found.setdefault(key, []).append(_standing(place, results, case))
    datasets = list(dict.fromkeys(key[0] for key in found))
    order = sorted(found, key=lambda key: (datasets.index(key[0]), not key[2], key[1], key[3]))
    return [Board(*key, tuple(_ranked(found[key]))) for key in order]


def _standing(place: int, results: Results, case: WorstCase) -> Standing:
    n, members = len(case.samples), case.pool.members
    own = {one.id: one for one in case.attacks}
    attacks = dict.fromkeys(one.variant for one in (*case.attacks, *case.others))
    alone = [float(one.robust.mean()) for one in case.attacks if one.attack == "autoattack"]
    red = [doubts_of(results, one) for one in case.attacks]
    texts = dict.fromkeys(in_short(doubt) for part in red for doubt in part)
    seconds = {one.id: float(one.cell["seconds"] or 0) for one in members}
    return Standing(
        place,
        results.label or str(results.run.get("name") or results.folder.name),
        case.pool.threat.model,
        tuple(own),
        tuple(attacks),
        frozenset(one.variant for one in case.pool.own),
        wilson(int(case.robust.sum()), n),
        wilson(int(case.clean.sum()), n),
        sum(one.passes / max(1, len(one)) for one in members),
        sum(seconds.values()),
        min(alone, default=None),
        "; ".join(texts) if all(red) else "",
        _warnings(results, set(own)),
        dict(zip(case.samples, case.robust.tolist(), strict=True)),
    )


def _warnings(results: Results, cells: set[str]) -> int:
    """How many checks warn of these cells."""
    said = [found for case, found in findings(results) if case.cell["cell"] in cells]
    return sum(finding.level == "warning" for found in said for _, finding in found)


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    """The most robust first; everybody is held against it, p-values times their number (Bonferroni)."""
    order = sorted(standings, key=lambda one: (bool(one.red), -one.robust.value, -one.clean.value, one.model, one.run))
    known = [one for one in order if not one.red]
    rest: list[Standing] = [replace(one, state="red") for one in order if one.red]
    if not known:
        return rest
    return [known[0], *(_beside(known[0], one, len(known) - 1) for one in known[1:]), *rest]


def _beside(first: Standing, one: Standing, comparisons: int) -> Standing:
    common = sorted(first.held.keys() & one.held.keys())
    if not common:
        return replace(one, state="apart", beside="on other images than the first")
    a, b = (np.array([side.held[sample] for sample in common]) for side in (first, one))
    lost, won = int((a & ~b).sum()), int((~a & b).sum())
    p = min(1.0, comparisons * mcnemar(lost, won))
    state: State = "tied" if p > ALPHA else "worse" if lost > won else "apart"
    said = {"tied": "cannot be told from the first", "worse": "worse than the first", "apart": "better where both were"}
    return replace(one, state=state, beside=f"{said[state]} ({p_equals(p)}, {len(common)} images)")
