"""Certified accuracy at radii: what is proven of a smoothed classifier, beside what attacks left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.tables.base import Column, Row, Table, Value, tables
from robustbench_lite.tables.values import Footnotes, count, label, share
from robustbench_lite.text import budget

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["certified_accuracy", "held"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("radius", "l2 radius"),
    Column("certified", "certified", "%", interval=True),
    Column("attacked", "attacked", "%", interval=True),
    Column("n", "n", priority=3),
)
_STEP = 0.25  # from one radius to the next, beside the budgets of attacks
_REMARK = (
    "certified: share of all n samples that are right, not abstained, and proven to stay so within the radius; "
    "attacked: right under every attack of this run within it. [95 % Wilson interval]"
)


@tables.register("certified_accuracy", "Share proven right at each l2 radius, beside what attacks left there.")
def certified_accuracy(results: Results) -> Table:
    rows, notes = list[Row](), Footnotes()
    remarks = [_REMARK]
    for one in _certified(results):
        notes.name(one.model, one)
        cases = {case.epsilon: case for case in worst_cases(results) if _same(case, one)}
        rows += [_row(one, radius, cases.get(radius)) for radius in _radii(one, cases)]
        remarks.append(_abstained(one, (results.run.get("defenses") or {}).get(one.model, {})))
    if not rows:
        remarks = ["no classifier in these results comes with a certificate"]
    title = "Certified accuracy"
    return Table("certified_accuracy", title, COLUMNS, tuple(rows), (*remarks, *notes.lines(results)), notes.shown())


def held(one: Evaluation, radius: float) -> Flags:
    """(n,) whether each sample is proven to be answered with its label within more than the radius."""
    return np.asarray((one["certified_class"] == one["label"]) & (one["certified_radius"] > radius), np.bool_)


def _certified(results: Results) -> Iterator[Evaluation]:
    """Of every classifier with a certificate the first cell that scored it: the certificate is the same in all."""
    seen = set[tuple[str, str]]()
    for one in evaluations(results):
        if one.ok and (one.dataset, one.model) not in seen and not one.rows["certified_class"].null_count:
            seen.add((one.dataset, one.model))
            yield one


def _same(case: WorstCase, one: Evaluation) -> bool:
    at = case.pool.threat
    return (at.dataset, at.model, at.norm, at.clipped) == (one.dataset, one.model, "l2", True)


def _radii(one: Evaluation, budgets: Mapping[float, Any]) -> list[float]:
    """Zero, the budgets of attacks, and steps up to the first where nothing is certified."""
    steps = np.arange(_STEP, one["certified_radius"].max(initial=0) + _STEP, _STEP).tolist()
    return sorted({0.0, *steps, *budgets})


def _row(one: Evaluation, radius: float, case: WorstCase | None) -> Row:
    return {
        "dataset": label(one.dataset),
        "model": label(one.model),
        "radius": Value(budget(radius), radius, kind="label"),
        "certified": _share(held(one, radius)),
        "attacked": label("") if case is None else _share(case.robust),
        "n": count(len(one)),
    }


def _share(flags: Flags) -> Value:
    return share(wilson(int(flags.sum()), len(flags)))


def _abstained(one: Evaluation, facts: Mapping[str, str]) -> str:
    """How many samples nothing is proven of, and by how many draws of which noise."""
    params = json.loads(facts.get("params") or "{}")
    said = ", ".join(f"{key} = {params[key]:g}" for key in ("sigma", "n0", "n", "alpha") if key in params)
    abstained = int((one["certified_class"] < 0).sum())
    return f"{one.model}: {abstained} of {len(one)} abstained" + (f"; {said}" if said else "")
