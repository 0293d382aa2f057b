"""Robust accuracy against the budget, a column for each classifier; it can only fall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.curves import Curve, curves
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share
from robustbench_lite.text import budget, listed
from robustbench_lite.trust.smell import Doubt, doubts

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Key", "curve", "end", "group", "grouped"]

_STEPS = 8
_MOST = 0.95  # of the sizes that the rows reach: the largest few would leave no room for the others
_ENDS = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)  # whose eighths are short
_OTHERS = frozenset({"dataset", "norm", "epsilon", "n"})  # columns that are no classifier
_REMARK = (
    "share of all n samples that are right and that no attack of this run broke with a change of at most this size: an "
    "upper bound, which falls with every stronger attack; at 0 the clean accuracy; a dash where a classifier was not "
    "attacked with this budget, nor with an attack that looks for the smallest change; [95 % Wilson interval]"
)
Key = tuple[str, str, bool]  # dataset, norm, whether images stay in the box


@tables.register("curve", "Robust accuracy against the budget, from the smallest success on each sample.")
def curve(results: Results) -> Table:
    return _table(results, grouped(curves(results)))


def group(results: Results, key: Key, members: Sequence[Curve]) -> Table:
    """The rows of those that belong on the same axes alone."""
    return _table(results, {key: members})


def _table(results: Results, groups: Mapping[Key, Sequence[Curve]]) -> Table:
    found, known, notes = [one for members in groups.values() for one in members], doubts(results), Footnotes()
    columns = _columns(list(dict.fromkeys(one.threat.model for one in found)))
    rows = tuple(row for key, members in groups.items() for row in _rows(key, members, columns, known, notes))
    notes.cells |= {one.id for each in found for one in each.attacks}
    remark = _REMARK if found else "no attack in these results measures its changes in a norm"
    return Table(
        "curve", "Robust accuracy as the budget grows", columns, rows, (remark, *notes.lines(results)), notes.shown()
    )


def grouped(found: Sequence[Curve]) -> dict[Key, list[Curve]]:
    """The curves that belong on the same axes."""
    out: dict[Key, list[Curve]] = {}
    for one in found:
        out.setdefault((one.threat.dataset, one.threat.norm, one.threat.clipped), []).append(one)
    return out


def end(members: Sequence[Curve]) -> float:
    """A round budget that all but a few sizes, and all budgets, lie within."""
    sizes = np.concatenate([one.sizes[np.isfinite(one.sizes)] for one in members if one.whole] or [np.zeros(0)])
    ends = [float(np.quantile(sizes, _MOST))] if len(sizes) else []
    most = max([*ends, *(epsilon for one in members for epsilon in one.budgets)], default=0.0)
    if most <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(most))
    return float(
        next(step * unit for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12) if step * unit >= most * (1 - 1e-9))
    )


def _columns(models: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("dataset", "dataset", numeric=False, group=True),
        Column("norm", "norm", numeric=False, group=True),
        Column("epsilon", "at most"),
        *(Column(_key(model), model, "%", interval=True, named=True, better="higher") for model in models),
        Column("n", "n", priority=2),
    )


def _key(model: str) -> str:
    return f"{model} (classifier)" if model in _OTHERS else model


def _rows(
    key: Key, members: Sequence[Curve], columns: Sequence[Column], known: dict[str, tuple[Doubt, ...]], notes: Footnotes
) -> Iterator[Row]:
    dataset, norm, clipped = key
    head = {"dataset": label(dataset), "norm": label(norm + ("" if clipped else ", unclipped"))}
    head |= {"n": count(max(one.n for one in members))}
    marks = {one.threat.model: _marks(one, known, notes) for one in members}
    for epsilon in _budgets(members):
        values = {_key(one.threat.model): _value(one, epsilon, marks[one.threat.model]) for one in members}
        row = head | {"epsilon": Value(budget(epsilon), epsilon, kind="label")}
        yield filled(columns, row | values, MISSING)


def _budgets(members: Sequence[Curve]) -> list[float]:
    """None, every budget of the run, and even steps where sizes say what happens between them."""
    asked = {epsilon for one in members for epsilon in one.budgets}
    even = [float(f"{end(members) * step / _STEPS:.6g}") for step in range(1, _STEPS + 1)]
    steps = set(even) if any(one.whole for one in members) else set()
    near = {step for step in steps if any(np.isclose(step, epsilon) for epsilon in asked)}
    return sorted({0.0} | asked | (steps - near))


def _value(one: Curve, epsilon: float, mark: str) -> Value:
    if epsilon and not one.whole and epsilon not in one.budgets:
        return MISSING
    return replace(share(one.at(epsilon)), mark=mark, red=bool(mark))


def _marks(one: Curve, known: dict[str, tuple[Doubt, ...]], notes: Footnotes) -> str:
    """Whose sizes these are is said of each classifier; that no number of its attacks stands, too."""
    named = listed(list(dict.fromkeys(attack.variant for attack in one.attacks)))
    remark = f"{one.threat.model}, {one.threat.norm}: {named}"
    red = [known.get(attack.id, ()) for attack in one.attacks]
    text = "; ".join(dict.fromkeys(str(doubt) for part in red for doubt in part)) if all(red) else ""
    return notes.mark(f"{remark}: does not stand: {text}") if text else ""
