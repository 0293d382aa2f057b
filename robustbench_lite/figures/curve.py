"""Robust accuracy against the budget, with its interval: a panel for each norm, a line for each classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.svg import PALETTE, document, element
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

_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP = 360, 220, 64, 52, 44  # of a panel, in pixels
_ROW, _ACROSS = _TOP + _HEIGHT + 58, 2  # of panels, and how many stand in one
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
        rows = [row for members in grouped(curves(results)).values() for row in _rows(members)]
        if not rows:
            raise UsageError(f"{results.folder}: no attack on a classifier measures its changes in a norm")
        return pa.Table.from_pylist(rows, schema=_ROWS)

    def draw(self, table: pa.Table) -> str:
        panels = _panels(table)
        colours = {name: PALETTE[i % _MOST] for i, name in enumerate(dict.fromkeys(table["model"].to_pylist()))}
        across, down = min(len(panels), _ACROSS), -(-len(panels) // _ACROSS)
        width, top = _LEFT + across * (_WIDTH + _GAP), down * _ROW
        height = top + 18 * len(colours) + 8
        parts = [element("rect", width=width, height=height, fill="white")]
        for i, panel in enumerate(panels):
            place = f"translate({_LEFT + i % _ACROSS * (_WIDTH + _GAP)},{_TOP + i // _ACROSS * _ROW})"
            parts.append(element("g", _panel(panel, colours), transform=place))
        parts += _legend(colours, top)
        says = "Share of samples that no attack of the run broke within the budget, with 95 % intervals."
        return document(width, height, self.title, says, parts)

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

    def x(self, epsilon: float) -> float:
        return _WIDTH * min(1.0, epsilon / self.end)


def _rows(members: Sequence[Fall]) -> Iterator[dict[str, Any]]:
    top = end(members)
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
        norm = row["norm"] + ("" if row["clipped"] else ", images may leave [0, 1]")
        found.setdefault((row["dataset"], norm, row["end"]), {}).setdefault(row["model"], []).append(row)
    return [_Panel(*key, [_Line(rows) for rows in lines.values()]) for key, lines in found.items()]


def _panel(panel: _Panel, colours: dict[str, str]) -> Iterator[str]:
    n = " to ".join(dict.fromkeys(str(pick(line.n for line in panel.lines)) for pick in (min, max)))
    yield element("text", text=f"{panel.dataset}, {panel.norm} (n = {n})", y=-14, font_weight=600)
    for share_of in range(_TICKS + 1):
        x, y = _WIDTH * share_of / _TICKS, _HEIGHT * (1 - share_of / _TICKS)
        yield element("line", x1=0, x2=_WIDTH, y1=y, y2=y, stroke="#ddd")
        yield element("text", text=f"{100 * share_of // _TICKS} %", x=-6, y=y + 4, text_anchor="end")
        tick = budget(float(f"{panel.end * share_of / _TICKS:.6g}"))
        yield element("text", text=tick, x=x, y=_HEIGHT + 16, text_anchor="middle")
    yield element("text", text=f"{panel.norm} at most", x=_WIDTH / 2, y=_HEIGHT + 34, text_anchor="middle")
    for line in panel.lines[:_MOST]:
        yield from (_fall if line.whole else _points)(panel, line, colours[line.model])


def _fall(panel: _Panel, line: _Line, colour: str) -> Iterator[str]:
    """Steps that go down where a sample is lost, and the band of the interval."""
    thin = np.unique(np.linspace(0, len(line.rows) - 1, min(_DRAWN, len(line.rows))).astype(int)).tolist()
    kept = [line.rows[i] for i in thin if line.rows[i]["epsilon"] <= panel.end]
    edges = [panel.x(row["epsilon"]) for row in kept[1:]] + [_WIDTH]
    band = [*_stairs(kept, edges, "high"), *reversed(_stairs(kept, edges, "low"))]
    yield element("polygon", points=_text(band), fill=colour, opacity=0.15)
    yield element("polyline", points=_text(_stairs(kept, edges, "robust")), fill="none", stroke=colour, stroke_width=2)


def _stairs(rows: Sequence[dict[str, Any]], edges: Sequence[float], key: str) -> list[tuple[float, float]]:
    starts = [0.0, *edges[:-1]]
    pairs = zip(rows, starts, edges, strict=True)
    return [(x, _HEIGHT * (1 - row[key])) for row, low, high in pairs for x in (low, high)]


def _points(panel: _Panel, line: _Line, colour: str) -> Iterator[str]:
    """Where only budgets were tried: a mark at each."""
    for row in line.rows:
        x, y, low, high = (panel.x(row["epsilon"]), *(_HEIGHT * (1 - row[key]) for key in ("robust", "low", "high")))
        yield element("line", x1=x, x2=x, y1=low, y2=high, stroke=colour, stroke_width=2)
        yield element("circle", cx=x, cy=y, r=4, fill=colour)


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _legend(colours: dict[str, str], top: float) -> Iterator[str]:
    for i, (model, colour) in enumerate(colours.items()):
        y = top + 18.0 * i
        yield element("rect", x=_LEFT, y=y - 9, width=11, height=11, fill=colour)
        yield element("text", text=model, x=_LEFT + 18, y=y + 1)


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
