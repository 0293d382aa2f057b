"""What the attacks achieve: samples broken against the size of the perturbation, and strength against cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures.svg import PALETTE, round_up
from robustbench_lite.report.charts import DASHES, Line, Point, Trade, curves, trades
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import median
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.curve import Key
from robustbench_lite.tables.values import label
from robustbench_lite.text import budget

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["MOST", "Drawn", "Limits", "broken", "costs", "cut", "legend", "limits"]

MOST = 16  # in one chart; more cannot be told apart


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
    for one in (one for results in runs for one in evaluations(results) if _white(one)):
        if one.passes:
            passes.append(one.passes / len(one))
        own, norm = _sizes(one), str(one.norm)
        if one.minimal and np.isfinite(own).any():
            size[norm] = max(size.get(norm, 0), float(own[np.isfinite(own)].max()))
            if np.isfinite(half := median(own).value):
                middle[norm] = max(middle.get(norm, 0), half)
    size, middle = ({norm: round_up(value) for norm, value in one.items()} for one in (size, middle))
    return Limits(size, middle, (min(passes, default=1.0), max(passes, default=1.0)))


def _white(one: Evaluation) -> bool:
    """Whether this is a classifier that was attacked itself, with changes that a norm measures."""
    return one.ok and one.norm is not None and one.own


def _sizes(one: Evaluation) -> npt.NDArray[np.float64]:
    """(n,) the size that the attack needed, in its own norm; infinite where it failed."""
    return np.where(one.success, one.size, np.inf)


def broken(results: Results, ends: Limits) -> Iterator[tuple[Key, Drawn]]:
    """For each data set and norm, clipped or not: the share that minimal attacks broke, as the size grows."""
    found: dict[Key, list[Line]] = {}
    for one in evaluations(results):
        if not (_white(one) and one.minimal):
            continue
        size = np.sort(_sizes(one)[np.isfinite(_sizes(one))])
        share = 100 * np.arange(1, len(size) + 1) / len(one)
        x, y = np.repeat(np.concatenate([[0.0], size]), 2)[1:], np.repeat(np.concatenate([[0.0], share]), 2)[:-1]
        thin = np.unique(np.linspace(0, len(x) - 1, min(len(x), 400)).astype(int))
        line = Line(f"{one.model}, {one.variant}", x[thin], y[thin])
        found.setdefault((one.dataset, str(one.norm), one.clipped), []).append(line)
    for key, lines in found.items():
        dataset, norm, clipped = key
        title = f"{dataset}: share of samples broken against the {norm} size{'' if clipped else ', unclipped'}"
        drawn = lines[:MOST]
        chart = curves(drawn, f"{norm} size, images in [0, 1]", title, ends.size.get(norm, 1.0))
        whole = title + cut(len(drawn), len(lines))
        yield key, Drawn(whole, "", chart, legend([line.name for line in drawn]), _quantiles(lines))


def cut(drawn: int, of: int) -> str:
    """What a title says where not all lines are drawn."""
    return f" (the first {drawn} of {of}; all in the data)" if drawn < of else ""


def legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name, colour and dashes of each line."""
    return [(name, PALETTE[i % 8], DASHES[i // 4 % 4]) for i, name in enumerate(names)]


def costs(results: Results, ends: Limits) -> Iterator[Drawn]:
    """What white-box attacks achieve against the passes that they take, for every norm and budget."""
    found: dict[tuple[str, str, float | None], dict[str, list[tuple[Point, float]]]] = {}
    for one in evaluations(results):
        if not (_white(one) and one.passes):
            continue
        y = median(_sizes(one)).value if one.minimal else 100 * float(one.success.mean())
        point = Point(one.variant, one.passes / len(one), y)
        key = (one.dataset, str(one.norm), one.epsilon)
        found.setdefault(key, {}).setdefault(one.model, []).append(
            (point, 1000 * (one.cell["seconds"] or 0) / len(one))
        )
    for (dataset, norm, eps), models in found.items():
        if max(len(points) for points in models.values()) < 2:
            continue  # one attack: nothing to weigh
        what = f"median {norm} size, failures as infinite" if eps is None else "share broken"
        unit = "" if eps is None else " %"
        title = (
            f"{dataset}, {norm}{'' if eps is None else f' at most {budget(eps)}'}: {what}, against passes per sample"
        )
        finite = {name: tuple(point for point, _ in points if np.isfinite(point.y)) for name, points in models.items()}
        all_of = [Trade(name, points) for name, points in finite.items() if points]
        if not all_of:
            continue  # nothing but infinite medians
        drawn = all_of[:MOST]
        top = 100.0 if eps is not None else ends.middle.get(norm, 1.0)
        label = "forward and backward passes per sample"
        whole = title + cut(len(drawn), len(all_of))
        says = "left is cheaper; " + ("lower" if eps is None else "higher") + " is the stronger attack"
        off = sum(map(len, models.values())) - sum(map(len, finite.values()))
        says += f"; {off} that broke less than half {'is' if off == 1 else 'are'} in the data only" if off else ""
        chart = trades(drawn, label, top, unit, title, ends.passes)
        yield Drawn(whole, says, chart, legend([trade.name for trade in drawn]), _costs(models, what, unit))


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
        {"model": label(name), "attack": label(point.name)}
        | {key: Value(f"{value:.3g}", value) for key, value in (("passes", point.x), ("ms", ms), ("found", point.y))}
        for name, points in models.items()
        for point, ms in points
    ]
    return Table("strength", "What the attacks cost and achieve", columns, tuple(rows))


def _quantiles(lines: Sequence[Line]) -> Table:
    """The data behind a curve: the size at which a share of the samples is broken."""
    columns = (Column("name", "classifier, attack", numeric=False), *(Column(str(q), f"{q} %") for q in (10, 50, 90)))
    rows = []
    for line in lines:
        row = {"name": label(line.name)}
        for q in (10, 50, 90):
            reached = line.x[line.y >= q]
            value = float(reached[0]) if len(reached) else float("inf")
            row[str(q)] = Value(f"{value:.3g}" if len(reached) else "never", value)
        rows.append(row)
    return Table("sizes", "Size at which so many samples are broken", columns, tuple(rows))
