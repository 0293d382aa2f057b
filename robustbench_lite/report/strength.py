"""What the attacks achieve: samples broken against the size of the perturbation, and strength against cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures.svg import PALETTE
from robustbench_lite.report.charts import DASHES, Line, Point, Trade, curves, round_up, trades
from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.statistics import median
from robustbench_lite.tables.base import Column, Table, Value

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Drawn", "Limits", "broken", "costs", "limits"]

_LINES = 16  # in one chart; more cannot be told apart


@dataclass(frozen=True)
class Drawn:
    """A chart as SVG with its legend (name, colour, dashes) and its data."""

    title: str
    says: str
    chart: str
    legend: list[tuple[str, str, str]]
    table: Table


@dataclass(frozen=True)
class Limits:
    """Where axes end, so that the same quantity ends at the same place all over a page."""

    size: dict[str, float]  # of the largest success of a minimal attack, by norm
    middle: dict[str, float]  # of the median size that such an attack needs, by norm
    passes: tuple[float, float]


def limits(runs: Sequence[Results]) -> Limits:
    """Of all these runs together."""
    size: dict[str, float] = {}
    middle: dict[str, float] = {}
    passes: list[float] = []
    for group in (group for results in runs for group in groups(results)):
        cell = group.cell
        if not _white(group):
            continue
        if own_passes := _passes(group):
            passes.append(own_passes / len(group.rows))
        own = _sizes(group)
        if cell["eps"] is None and np.isfinite(own).any():
            size[cell["norm"]] = max(size.get(cell["norm"], 0), float(own[np.isfinite(own)].max()))
            if np.isfinite(half := median(own).value):
                middle[cell["norm"]] = max(middle.get(cell["norm"], 0), half)
    size, middle = ({norm: round_up(value) for norm, value in one.items()} for one in (size, middle))
    return Limits(size, middle, (min(passes, default=1.0), max(passes, default=1.0)))


def _white(group: Group) -> bool:
    """Whether this is a classifier that was attacked itself, with changes that a norm measures."""
    return group.ok and group.cell["norm"] is not None and (group.cell["sources"] or []) == [group.model]


def _sizes(group: Group) -> npt.NDArray[np.float64]:
    """(n,) the size that the attack needed, in its own norm; infinite where it failed."""
    found: npt.NDArray[np.float64] = np.where(
        group["success"].astype(bool), group[group.cell["norm"]].astype(float), np.inf
    )
    return found


def _passes(group: Group) -> int:
    return int((group.cell["forwards"] or 0) + (group.cell["backwards"] or 0))


def broken(results: Results, ends: Limits) -> Iterator[Drawn]:
    """Share of samples broken as the perturbation grows, from the sizes of minimal attacks' successes."""
    found: dict[tuple[str, str], list[Line]] = {}
    for group in groups(results):
        cell = group.cell
        if not _white(group) or cell["eps"] is not None:
            continue
        size = np.sort(_sizes(group)[np.isfinite(_sizes(group))])
        share = 100 * np.arange(1, len(size) + 1) / len(group.rows)
        x, y = np.repeat(np.concatenate([[0.0], size]), 2)[1:], np.repeat(np.concatenate([[0.0], share]), 2)[:-1]
        thin = np.unique(np.linspace(0, len(x) - 1, min(len(x), 400)).astype(int))
        line = Line(f"{group.model}, {cell['variant']}", x[thin], y[thin])
        found.setdefault((str(cell["dataset"]), str(cell["norm"])), []).append(line)
    for (dataset, norm), lines in found.items():
        title = f"{dataset}: share of samples broken against the {norm} size of the perturbation"
        drawn = lines[:_LINES]
        chart = curves(drawn, f"{norm} size, images in [0, 1]", title, ends.size.get(norm, 1.0))
        whole = title + _cut(len(drawn), len(lines))
        yield Drawn(whole, "", chart, _legend([line.name for line in drawn]), _quantiles(lines))


def _cut(drawn: int, of: int) -> str:
    return f" (the first {drawn} of {of}; all in the data)" if drawn < of else ""


def _legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, colour and dashes of each line."""
    return [(name, PALETTE[i % 8], DASHES[i // 4 % 4]) for i, name in enumerate(names)]


def costs(results: Results, ends: Limits) -> Iterator[Drawn]:
    """What white-box attacks achieve against the passes that they take, for every norm and budget."""
    found: dict[tuple[str, str, float | None], dict[str, list[tuple[Point, float]]]] = {}
    for group in groups(results):
        cell, n = group.cell, len(group.rows)
        passes = _passes(group)
        if not _white(group) or not passes:
            continue
        share = 100 * float(group["success"].astype(bool).mean())
        y = median(_sizes(group)).value if cell["eps"] is None else share
        point = Point(str(cell["variant"]), passes / n, y)
        key = (str(cell["dataset"]), str(cell["norm"]), cell["eps"])
        found.setdefault(key, {}).setdefault(group.model, []).append((point, 1000 * (cell["seconds"] or 0) / n))
    for (dataset, norm, eps), models in found.items():
        if max(len(points) for points in models.values()) < 2:
            continue  # one attack: nothing to weigh
        what = f"median {norm} size, failures as infinite" if eps is None else "share broken"
        unit = "" if eps is None else " %"
        title = f"{dataset}, {norm}{'' if eps is None else f' at most {eps:.4g}'}: {what}, against passes per sample"
        finite = {name: tuple(point for point, _ in points if np.isfinite(point.y)) for name, points in models.items()}
        all_of = [Trade(name, points) for name, points in finite.items() if points]
        if not all_of:
            continue  # nothing but infinite medians
        drawn = all_of[:_LINES]
        top = 100.0 if eps is not None else ends.middle.get(norm, 1.0)
        label = "forward and backward passes per sample"
        whole = title + _cut(len(drawn), len(all_of))
        says = "left is cheaper; " + ("lower" if eps is None else "higher") + " is the stronger attack"
        off = sum(map(len, models.values())) - sum(map(len, finite.values()))
        says += f"; {off} that broke less than half {'is' if off == 1 else 'are'} in the data only" if off else ""
        chart = trades(drawn, label, top, unit, title, ends.passes)
        yield Drawn(whole, says, chart, _legend([trade.name for trade in drawn]), _costs(models, what, unit))


def _costs(models: dict[str, list[tuple[Point, float]]], what: str, unit: str) -> Table:
    """The data behind a chart of cost against strength."""
    columns = (
        Column("model", "classifier", numeric=False),
        Column("attack", "attack", numeric=False),
        Column("passes", "passes per sample"),
        Column("ms", "time per sample", "ms"),
        Column("found", what, unit.strip()),
    )
    rows = [
        (
            Value(name, kind="label"),
            Value(point.name, kind="label"),
            *(Value(f"{number:.3g}", number) for number in (point.x, ms, point.y)),
        )
        for name, points in models.items()
        for point, ms in points
    ]
    return Table("strength", "What the attacks cost and achieve", columns, tuple(rows))


def _quantiles(lines: Sequence[Line]) -> Table:
    """The data behind a curve: the size at which a share of the samples is broken."""
    columns = (Column("name", "classifier, attack", numeric=False), *(Column(str(q), f"{q} %") for q in (10, 50, 90)))
    rows = []
    for line in lines:
        row = [Value(line.name, kind="label")]
        for q in (10, 50, 90):
            reached = line.x[line.y >= q]
            value = float(reached[0]) if len(reached) else float("inf")
            row.append(Value(f"{value:.3g}" if len(reached) else "never", value))
        rows.append(tuple(row))
    return Table("sizes", "Size at which so many samples are broken", columns, tuple(rows))
