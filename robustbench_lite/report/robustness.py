"""Robust accuracy as the budget grows, of each classifier under all attacks; beside it what each attack broke."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.report.charts import Fall, falls
from robustbench_lite.report.strength import MOST, Drawn, Limits, broken, cut, legend
from robustbench_lite.results.curves import Curve, curves
from robustbench_lite.tables.curve import Key, end, group, grouped
from robustbench_lite.text import listed
from robustbench_lite.trust.smell import doubts

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["by_size"]

_DRAWN = 400  # points of a line: more than can be seen


def by_size(results: Results, ends: Limits) -> Iterator[Drawn]:
    """For each data set and norm, clipped or not: robust accuracy (the worst case), then what each attack broke."""
    found: dict[Key, list[Drawn]] = {}
    for key, one in chain(_robust(results, ends), broken(results, ends)):
        found.setdefault(key, []).append(one)
    for drawn in found.values():
        yield from drawn


def _robust(results: Results, ends: Limits) -> Iterator[tuple[Key, Drawn]]:
    """Where an attack looked for the smallest sizes, so that there is something to say at every budget."""
    for key, members in grouped(curves(results)).items():
        dataset, norm, clipped = key
        if any(one.whole for one in members):
            title = f"{dataset}: robust accuracy against the {norm} budget{'' if clipped else ', unclipped'}"
            yield key, _drawn(results, key, title, members, ends.size.get(norm) or end(members))


def _drawn(results: Results, key: Key, title: str, members: list[Curve], last: float) -> Drawn:
    lines = [_fall(one, results) for one in members[:MOST]]
    chart = falls(lines, f"{key[1]} budget, images in [0, 1]", title, last)
    named = list(dict.fromkeys(attack.variant for one in members for attack in one.attacks))
    says = f"n = {_samples(members)}; worst case over {listed(named)}, with 95 % Wilson intervals"
    says += "" if all(one.whole for one in members) else "; a mark: only this budget was tried"
    whole = title + cut(len(lines), len(members))
    return Drawn(whole, says, chart, legend([line.name for line in lines]), group(results, key, members))


def _samples(members: list[Curve]) -> str:
    return " to ".join(dict.fromkeys(str(pick(one.n for one in members)) for pick in (min, max)))


def _fall(one: Curve, results: Results) -> Fall:
    """The curve as it is drawn, in percent; a classifier of which no number stands says so."""
    known, steps = doubts(results), one.steps()
    thin = np.unique(np.linspace(0, len(steps) - 1, min(_DRAWN, len(steps))).astype(int))
    at = [one.at(steps[i]) for i in thin]
    robust, low, high = (100 * np.array([getattr(each, k) for each in at]) for k in ("value", "low", "high"))
    stands = not all(known.get(attack.id, ()) for attack in one.attacks)
    name = one.threat.model + ("" if stands else ", does not stand")
    return Fall(name, np.array(steps)[thin], robust, low, high, whole=one.whole)
