"""Robust accuracy against the budget, with its interval: a panel for each norm, a line for each classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Axis, Drawing, Line, Panel, Panels, keyed
from robustbench_lite.figures.svg import PALETTE
from robustbench_lite.results.curves import Curve as Fall
from robustbench_lite.results.curves import curves
from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.curve import end, grouped
from robustbench_lite.tables.values import count, label, share
from robustbench_lite.text import budget

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Curve"]

_NOTE = "robust accuracy, worst case over the attacks of the run, with 95 % Wilson intervals"
_DRAWN = 400  # points of a line: more than there are pixels
_MOST = len(PALETTE)  # lines of a panel that can be told apart; all are in the rows
_TICKS = 4

_ROWS = pa.schema(
    [
        ("dataset", pa.string()),
        ("norm", pa.string()),
        ("clipped", pa.bool_()),
        ("end", pa.float64()),  # where the axis of budgets ends
        ("model", pa.string()),
        ("attacks", pa.string()),
        ("whole", pa.bool_()),  # whether it says something at every budget, or only at those in its rows
        ("epsilon", pa.float64()),
        ("robust", pa.float64()),  # share of the samples from this budget on, up to the next
        ("low", pa.float64()),  # 95 % Wilson interval
        ("high", pa.float64()),
        ("n", pa.int64()),
    ]
)


@figures.register("curve")
class Curve(Figure):
    """Robust accuracy as the budget grows, of every classifier, from the smallest success on each sample."""

    title: ClassVar[str] = "Robust accuracy as the budget grows"

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        rows = [row for members in grouped(curves(results)).values() for row in _rows(_telling(members))]
        if not rows:
            raise UsageError(f"{results.folder}: no attack has a budget in a norm or looks for a smallest size")
        return pa.Table.from_pylist(rows, schema=_ROWS)

    def drawing(self, table: pa.Table) -> Drawing:
        panels, models = _panels(table), list(dict.fromkeys(table["model"].to_pylist()))
        drawn = tuple(_panel(panel, models) for panel in panels)
        says = "Share of samples that no attack of the run broke within the budget, with 95 % intervals."
        keys = keyed([line for panel in drawn for line in panel.lines])
        return Drawing(self.title, says, (Panels(drawn),), keys=keys, notes=(_NOTE,))

    def data(self, table: pa.Table) -> Table:
        columns = (
            Column("dataset", "dataset", numeric=False, group=True),
            Column("norm", "norm", numeric=False, group=True),
            Column("model", "classifier", numeric=False),
            *(Column(f"at{i}", f"{i} of {_TICKS} of the axis", "%", interval=True) for i in range(_TICKS + 1)),
            Column("end", "which ends at"),
            Column("attacks", "attacks", numeric=False, priority=3),
            Column("n", "n"),
        )
        rows = [_told(line) for panel in _panels(table) for line in panel.lines]
        return Table("curve", self.title, columns, tuple(rows))


@dataclass(frozen=True)
class _Line:
    """The rows of one classifier in one panel, ascending budgets."""

    rows: list[dict[str, Any]]

    @property
    def model(self) -> str:
        return str(self.rows[0]["model"])

    @property
    def whole(self) -> bool:
        return bool(self.rows[0]["whole"])

    @property
    def n(self) -> int:
        return int(self.rows[0]["n"])

    def at(self, epsilon: float) -> dict[str, Any]:
        """The row that holds at a budget."""
        return [row for row in self.rows if row["epsilon"] <= epsilon][-1]


@dataclass(frozen=True)
class _Panel:
    dataset: str
    norm: str
    end: float
    lines: list[_Line]


def _telling(members: Sequence[Fall]) -> list[Fall]:
    """Those of which more is known than the clean accuracy."""
    return [one for one in members if one.whole or any(step > 0 for step in one.steps())]


def _rows(members: Sequence[Fall]) -> Iterator[dict[str, Any]]:
    top = end(members) if members else 0.0
    for one in members:
        facts = {"dataset": one.threat.dataset, "norm": one.threat.norm, "clipped": one.threat.clipped, "end": top}
        named = ", ".join(dict.fromkeys(attack.variant for attack in one.attacks))
        facts |= {"model": one.threat.model, "attacks": named, "whole": one.whole, "n": one.n}
        for epsilon in one.steps():
            found: Estimate = one.at(epsilon)
            yield facts | {"epsilon": epsilon, "robust": found.value, "low": found.low, "high": found.high}


def _panels(table: pa.Table) -> list[_Panel]:
    """The stored rows as they are drawn."""
    found: dict[tuple[str, str, float], dict[str, list[dict[str, Any]]]] = {}
    for row in table.to_pylist():
        norm = row["norm"] + ("" if row["clipped"] else ", unclipped")
        found.setdefault((row["dataset"], norm, row["end"]), {}).setdefault(row["model"], []).append(row)
    return [_Panel(*key, [_Line(rows) for rows in lines.values()]) for key, lines in found.items()]


def _panel(panel: _Panel, models: Sequence[str]) -> Panel:
    n = " to ".join(dict.fromkeys(str(pick(line.n for line in panel.lines)) for pick in (min, max)))
    places = [panel.end * i / _TICKS for i in range(_TICKS + 1)]
    ticks = tuple((place, budget(float(f"{place:.6g}"))) for place in places)
    lines = tuple(_drawn(line, models.index(line.model)) for line in panel.lines[:_MOST])
    across = Axis(f"{panel.norm.partition(',')[0]} at most", 0.0, panel.end, ticks)
    return Panel(f"{panel.dataset}, {panel.norm} (n = {n})", across, Axis.shares(""), lines)


def _drawn(line: _Line, number: int) -> Line:
    """Stairs that go down where a sample is lost; where only budgets were tried, a mark at each."""
    thin = np.unique(np.linspace(0, len(line.rows) - 1, min(_DRAWN, len(line.rows))).astype(int)).tolist()
    kept = [line.rows[i] for i in thin]
    x, y, low, high = (np.array([row[key] for row in kept]) for key in ("epsilon", "robust", "low", "high"))
    return Line(line.model, x, y, number, "stairs" if line.whole else "marks", low, high)


def _told(line: _Line) -> dict[str, Any]:
    first = line.rows[0]
    values = {}
    for i in range(_TICKS + 1):
        row = line.at(first["end"] * i / _TICKS)
        values[f"at{i}"] = share(wilson(round(row["robust"] * row["n"]), row["n"]))
    norm = first["norm"] + ("" if first["clipped"] else ", unclipped")
    known = {"dataset": label(first["dataset"]), "norm": label(norm), "model": label(first["model"])}
    return (
        known
        | values
        | {"end": label(budget(first["end"])), "attacks": label(first["attacks"]), "n": count(first["n"])}
    )
