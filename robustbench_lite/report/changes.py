"""Two runs beside each other: one sentence, and robust accuracy or rho of every cell in both, joined by a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.svg import PALETTE, element, round_up
from robustbench_lite.report.strength import Drawn
from robustbench_lite.results.change import Change
from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.compare import Changes, Side, changes
from robustbench_lite.tables.values import label, number, spread

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["RunChanges", "dumbbells", "run_changes"]

Scale = Callable[[float], float]
_MOST = 40  # pairs in one chart
_WIDTH, _TOP, _ROW, _LEFT, _RIGHT = 620, 8, 40, 16, 16
_COLOURS = {-1: PALETTE[5], 0: "currentColor", 1: PALETTE[2]}  # worse, may be chance, better
_WORDS = {-1: "certainly worse", 0: "may be chance", 1: "certainly better"}


@dataclass(frozen=True)
class RunChanges:
    """What the page says of two runs."""

    sentence: str
    charts: tuple[Drawn, ...]
    table: Table


def run_changes(runs: Sequence[Results]) -> RunChanges | None:
    """What changed from the first of two runs to the second; None where there are not two, or nothing is shared."""
    if len(runs) != 2:
        return None
    try:
        found = changes(*(Side(one.label or one.folder.name, one, None) for one in runs))
    except UsageError:  # other attacks or data: two runs side by side, nothing to pair
        return None
    return RunChanges(found.sentence, tuple(_charts(found)), found.table())


@dataclass(frozen=True)
class _Dumbbell:
    """One pair of cells: a value with its interval in either run."""

    name: str
    before: Estimate
    after: Estimate
    direction: int  # -1 certainly worse, 1 certainly better


def _called(pair: Change) -> str:
    stands = "" if pair.stands else ", does not stand"
    return f"{pair.model}, {pair.variant}, {pair.a.dataset}{stands}"


def _charts(found: Changes) -> Iterator[Drawn]:
    """Robust accuracy of attacks with a budget, rho of those that break everything: not on one axis."""
    told = [pair for pair in (*found.pairs, *found.worst) if pair.ok]
    shares = [_Dumbbell(_called(p), *_robust(p), p.direction) for p in told if not p.of_sizes]
    sizes = [_Dumbbell(_called(p), p.size[0].estimate, p.size[1].estimate, p.direction) for p in told if p.of_sizes]
    for rows, what, unit in ((shares, "robust accuracy", " %"), (sizes, "rho, the relative size", "")):
        if rows:
            yield _drawn(found, rows, what, unit)


def _robust(pair: Change) -> tuple[Estimate, Estimate]:
    """Of both, in percent."""
    found = [wilson(int(part.sum()), pair.n) for part in pair.robust]
    first, second = (Estimate(100 * e.value, 100 * e.low, 100 * e.high, e.n) for e in found)
    return first, second


def _drawn(found: Changes, rows: Sequence[_Dumbbell], what: str, unit: str) -> Drawn:
    shown, a, b = rows[:_MOST], found.a.name, found.b.name
    cut = f" (the first {_MOST} of {len(rows)}; all in the data)" if len(rows) > _MOST else ""
    title = f"From {a} to {b}: {what} of every pair of cells"
    says = f"hollow: {a}; filled: {b}; bars: 95 % intervals of each; right is more robust"
    legend = [(_WORDS[way], _COLOURS[way], "none") for way in (-1, 0, 1) if any(row.direction == way for row in rows)]
    return Drawn(f"{title}{cut}", says, dumbbells(shown, title, unit), legend, _data(rows, a, b, what, unit))


def dumbbells(rows: Sequence[_Dumbbell], title: str, unit: str) -> str:
    """Rows of two dots, hollow before and filled after, with their intervals; percent on 0 to 100."""
    ends = [end for row in rows for e in (row.before, row.after) for end in (e.value, e.high) if np.isfinite(end)]
    top = 100.0 if unit else round_up(max(ends, default=1.0))

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, value / top)

    bottom = _TOP + _ROW * len(rows)
    parts = [element("title", text=title)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        at, side = x(share * top), "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(element("line", x1=at, x2=at, y1=_TOP, y2=bottom, class_="grid"))
        text = f"{share * top:.3g}{unit}"
        parts.append(element("text", text=text, x=at, y=bottom + 16, class_="tick", text_anchor=side))
    for i, row in enumerate(rows):
        parts += _row(row, x, _TOP + _ROW * i, unit)
    height = bottom + 24
    box = f"0 0 {_WIDTH} {height}"
    return element("svg", parts, viewBox=box, width=_WIDTH, height=height, role="img", class_="chart")


def _row(row: _Dumbbell, x: Scale, y: float, unit: str) -> Iterator[str]:
    colour, middle = _COLOURS[row.direction], y + 27
    yield element("text", text=row.name, x=_LEFT, y=y + 13, class_="tick")
    known = [part for part in (row.before, row.after) if not np.isnan(part.value)]
    if len(known) == 2:
        yield element(
            "line", x1=x(row.before.value), x2=x(row.after.value), y1=middle, y2=middle, stroke=colour, stroke_width=2
        )
    for part, shift in ((row.before, -5), (row.after, 5)):
        if not np.isnan(part.low):
            at, low, high = middle + shift, x(part.low), x(part.high)
            yield element("line", x1=low, x2=high, y1=at, y2=at, stroke=colour, stroke_width=1, opacity=0.6)
    for part, fill, name in ((row.before, "var(--paper, #fff)", "before"), (row.after, colour, "after")):
        if not np.isnan(part.value):
            tip = element("title", text=f"{row.name}, {name}: {part.value:.3g}{unit}")
            yield element("circle", tip, cx=x(part.value), cy=middle, r=5, fill=fill, stroke=colour, stroke_width=2)


def _data(rows: Sequence[_Dumbbell], a: str, b: str, what: str, unit: str) -> Table:
    columns = (
        Column("pair", "pair", numeric=False),
        Column("before", f"{what}, {a}", unit.strip(), interval=True),
        Column("after", f"{what}, {b}", unit.strip(), interval=True),
        Column("verdict", "change", numeric=False),
    )
    lines = tuple(
        {
            "pair": label(row.name),
            "before": _value(row.before),
            "after": _value(row.after),
            "verdict": label(_WORDS[row.direction]),
        }
        for row in rows
    )
    return Table("changed", f"From {a} to {b}", columns, lines)


def _value(found: Estimate) -> Value:
    if np.isinf(found.value):
        return number(found.value, note="half or more are never broken")
    return spread(found)
