"""AttackBench's optimality: how near each attack comes to the smallest perturbations that the whole pool found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.curves import Curve, curves, optimality
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.curve import Key, grouped
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, spread

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["table"]

_OTHERS = frozenset({"dataset", "norm", "attack", "global", "success", "passes", "n"})  # columns that are no classifier
_REMARK = (
    "local optimality, a column for each classifier: 1 - (A - A*) / (c d - A*), A the area under robust accuracy "
    "against the size of this attack's successes up to d, A* that of the smallest success of the pool on each sample, "
    "d the largest of these, c the clean accuracy; 1: nobody in the pool did better on any sample, 0: no better than "
    "not to attack; [95 % bootstrap interval over samples, d as it is]; global: the mean over these classifiers (Cina "
    "et al., AttackBench, arXiv 2404.19460). A stronger attack in the pool lowers everybody: only numbers of the same "
    "pool are compared"
)


@tables.register("optimality", "AttackBench's optimality: how near attacks come to the smallest sizes of their pool.")
def table(results: Results) -> Table:
    groups = {key: members for key, members in grouped(curves(results)).items() if any(one.whole for one in members)}
    models = list(dict.fromkeys(one.threat.model for members in groups.values() for one in members))
    columns, notes = _columns(models), Footnotes()
    rows = tuple(row for key, members in groups.items() for row in _rows(key, members, columns, notes))
    remark = _REMARK if groups else "no attack in these results looks for the smallest perturbation"
    lines = (remark, *_pools(groups), *notes.lines(results))
    return Table("optimality", "Optimality of the attacks", columns, rows, lines, notes.shown())


def _columns(models: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("dataset", "dataset", numeric=False, group=True),
        Column("norm", "norm", numeric=False, group=True),
        Column("attack", "attack", numeric=False),
        *(Column(_key(model), model, interval=True, named=True, better="higher") for model in models),
        Column("global", "global", better="higher"),
        Column("success", "success", "%", priority=2),
        Column("passes", "passes", better="lower", priority=2),
        Column("n", "n", priority=2),
    )


def _key(model: str) -> str:
    return f"{model} (classifier)" if model in _OTHERS else model


def _rows(key: Key, members: Sequence[Curve], columns: Sequence[Column], notes: Footnotes) -> Iterator[Row]:
    """A row for each attack that looks for the smallest size, on all classifiers."""
    dataset, norm, clipped = key
    head = {"dataset": label(dataset), "norm": label(norm + ("" if clipped else ", unclipped"))}
    found: dict[str, list[tuple[Curve, Evaluation]]] = {}
    for curve in members:
        for one in curve.attacks:
            if one.unbounded:
                found.setdefault(one.variant, []).append((curve, one))
    for variant, pairs in found.items():
        names = [notes.name(variant, one) for _, one in pairs]
        row = head | {"attack": max(names, key=lambda name: len(name.mark))}
        yield filled(columns, row | _numbers(pairs, len(members)), MISSING)


def _numbers(pairs: Sequence[tuple[Curve, Evaluation]], of: int) -> dict[str, Value]:
    """`of`: on so many classifiers was something attacked; a mean over some of them is no mean of all."""
    local = {_key(curve.threat.model): _local(curve, one) for curve, one in pairs}
    known = [value.value for value in local.values() if value.value is not None]
    mean = float(np.mean(known)) if len(known) == of else None
    return local | {
        "global": number(mean, kind="derived", note="" if mean is not None else "not known on every classifier"),
        "success": number(100 * float(np.mean([one.success.mean() for _, one in pairs]))),
        "passes": number(float(np.mean([one.passes / len(one) for _, one in pairs]))),
        "n": count(max(len(one) for _, one in pairs)),
    }


def _local(curve: Curve, one: Evaluation) -> Value:
    if len(curve.pool.members) < 2:
        return Value("—", kind="missing", note="alone in its pool: there is nothing to be near to")
    if set(one.samples) != set(curve.samples):
        return Value("—", kind="missing", note="not the same samples as the others of the pool")
    found = optimality(curve.own_sizes(one), curve.sizes)
    undefined = Value("—", kind="missing", note="no attack of the pool can be nearer than another")
    return undefined if isnan(found.value) else spread(found)


def _pools(groups: dict[Key, list[Curve]]) -> Iterator[str]:
    """Who is in the pools, said once where it is the same for all classifiers."""
    for (dataset, norm, _), members in groups.items():
        named: dict[str, list[str]] = {}
        for curve in members:
            pool = dict.fromkeys(_called(one) for one in curve.pool.members)
            named.setdefault(", ".join(pool), []).append(curve.threat.model)
        for names, models in named.items():
            whom = f" of {', '.join(models)}" if len(named) > 1 else ""
            yield f"pool on {dataset}, {norm}{whom}: {names}"


def _called(one: Evaluation) -> str:
    return one.variant + (f" made for {one.through}" if one.through else "")
