"""The page's part on sparse coding: was every promise kept, how nearly did an adversary break one, what lies beyond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.figures.stability import SET
from robustbench_lite.figures.svg import round_up
from robustbench_lite.report.charts import Fall, falls
from robustbench_lite.report.strength import MOST, Drawn, cut, legend
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import label, number
from robustbench_lite.text import listed, percent, plural, significant

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Coding", "codings", "headline", "recovered"]

_SORTS = ("random", "adversarial")


@dataclass(frozen=True)
class Coding:
    """One pursuit of one model as the template shows it."""

    name: str
    verdict: str
    red: bool
    sentences: list[str]


@dataclass(frozen=True)
class _Noise:
    """All layers of a pursuit under noise of one local energy."""

    noise: float
    layers: tuple[Row, ...]

    @property
    def broken(self) -> int:
        return sum(row["random_broken"] + row["adversarial_broken"] for row in self.layers)

    @property
    def bounds(self) -> int:
        """Layers to which a bound is promised, for some signal at least."""
        return sum(row["promised"] > 0 for row in self.layers)

    @property
    def promised(self) -> bool:
        """Whether a bound and the support are promised to every signal in every layer."""
        return all(row["promised"] == row["support"] == 1 for row in self.layers)

    def found(self, sort: str) -> float:
        """The share of signals whose support is found, in the layer where it is lowest."""
        return min(float(row[f"{sort}_recovered"]) for row in self.layers)

    @property
    def gain(self) -> float:
        """How many times as large as random noise's the adversary's worst error is, where it is most."""
        return max(
            row["adversarial_worst"] / row["random_worst"] if row["random_worst"] else 1.0 for row in self.layers
        )

    def tightness(self, sort: str) -> float | None:
        """The largest error in units of its bound, of all layers; null: there is no bound."""
        known = [row[f"{sort}_tightness"] for row in self.layers if row[f"{sort}_tightness"] is not None]
        return max(known, default=None)


def _pursuits(results: Results) -> dict[str, list[_Noise]]:
    """Noise by noise, ascending, of each pursuit by its name; what has failed is told elsewhere."""
    cells: dict[str, list[Row]] = {}
    for row in results.sparse_coding_table.to_pylist():
        if row["layer"] is not None:
            cells.setdefault(row["cell"], []).append(row)
    found: dict[tuple[str, ...], list[_Noise]] = {}
    for rows in cells.values():
        found.setdefault(tuple(str(rows[0][key]) for key in SET), []).append(_Noise(rows[0]["noise"], tuple(rows)))
    names = {key: f"{key[0]}, {key[1]}, set for noise {float(key[2]):g}" for key in found}
    many = [key for key in found if list(names.values()).count(names[key]) > 1]
    names |= {key: f"{names[key]} ({key[5]} signals, {key[6]} steps, seed {key[7]})" for key in many}
    return {names[key]: sorted(found[key], key=lambda one: one.noise) for key in found}


def headline(results: Results) -> str:
    """Whether what is promised was kept, and how nearly it was not; empty where nothing was measured."""
    every = [one for noises in _pursuits(results).values() for one in noises]
    if not every:
        return ""
    broken, bounds = sum(one.broken for one in every), sum(one.bounds for one in every)
    if broken:
        kept = plural(broken, "promise was", "promises were")
        return f"{kept} not kept: the theorem, the model or the measurement is wrong."
    if not bounds:
        return "Nothing is promised for any of this noise, and nothing could be broken."
    nearest = max(value for one in every if (value := one.tightness("adversarial")) is not None)
    bound = plural(bounds, "bound")
    times = max(one.gain for one in every)
    return (
        f"No promise was broken, of {bound} and the supports with them; the adversary comes to {percent(nearest)} % of "
        f"one, with errors of up to {significant(times, 2)} times those of random noise of the same local energy."
    )


def codings(results: Results) -> list[Coding]:
    """Every pursuit of a run, in the order of the suite."""
    return [_coding(name, noises) for name, noises in _pursuits(results).items()]


def _coding(name: str, noises: Sequence[_Noise]) -> Coding:
    broken = sum(one.broken for one in noises)
    none = not any(one.bounds for one in noises)
    verdict = f"{broken} broken" if broken else "nothing promised" if none else "kept"
    return Coding(name, verdict, broken > 0, list(_sentences(noises)))


def _sentences(noises: Sequence[_Noise]) -> Iterator[str]:
    """What is promised, how tight it is, and what is found past it."""
    whole = _last(noises, [one.promised for one in noises])
    if whole is not None:
        reach = "at" if len(noises) == 1 else "up to"
        yield f"Bounds and supports of every layer are promised to all signals {reach} noise {whole:g}."
    else:
        layers = [str(row["layer"]) for row in noises[0].layers if row["promised"] == 1]
        where = f"in layer {listed(layers)} alone" if layers else "in no layer"
        yield f"At noise {noises[0].noise:g} a bound is promised to all signals {where}."
    if tight := [one for one in noises if one.tightness("adversarial") is not None]:
        shares = [_reached(max(one.tightness(sort) or 0.0 for one in tight)) for sort in _SORTS]
        yield f"The adversary reaches {shares[1]} of a bound, random noise {shares[0]}."
    yield from _supports(noises)


def _reached(share: float) -> str:
    return f"{percent(share, 1)} %"


def _supports(noises: Sequence[_Noise]) -> Iterator[str]:
    """Up to where every support is found, and what is lost under the most noise."""
    random, adversarial = (_last(noises, [one.found(sort) == 1 for one in noises]) for sort in _SORTS)
    most = noises[-1]
    if random == adversarial == most.noise:
        yield f"Every support is found, at noise {most.noise:g} too." if len(noises) > 1 else "Every support is found."
    elif random is not None and adversarial is not None:
        apart = f"{random:g} under random noise, {adversarial:g} under the adversary's"
        yield f"Every support is found up to noise {f'{random:g}' if random == adversarial else apart}."
    if lost := [f"in layer {row['layer']} of {text}" for row in most.layers if (text := _lost(row))]:
        yield f"At noise {most.noise:g} supports are lost: {'; '.join(lost)}."


def _lost(row: Row) -> str:
    """The share of signals, under which noise; empty: none is lost."""
    shares = [(sort, 1 - row[f"{sort}_recovered"]) for sort in _SORTS]
    return ", ".join(f"{_reached(share)} ({sort})" for sort, share in shares if share > 0)


def _last(noises: Sequence[_Noise], held: Sequence[bool]) -> float | None:
    """The noise up to which something held; null: not even under the least."""
    last = None
    for one, so in zip(noises, held, strict=True):
        if not so:
            break
        last = one.noise
    return last


def recovered(results: Results) -> Iterator[Drawn]:
    """The share of signals with every support found as noise grows: a chart, where a pursuit has met several noises."""
    sweeps = {name: noises for name, noises in _pursuits(results).items() if len(noises) > 1}
    lines = [_line(f"{name}: {sort}", noises, sort) for name, noises in sweeps.items() for sort in _SORTS]
    if not lines:
        return
    drawn = lines[:MOST]
    end = round_up(max(float(line.budget.max()) for line in drawn))
    title, axis = "Signals with every support found", "local energy of the noise"
    columns = (Column("name", "pursuit", numeric=False), Column("noise", "noise"), Column("found", "found", "%"))
    rows = tuple(
        {"name": label(line.name), "noise": number(float(x)), "found": number(float(y))}
        for line in lines
        for x, y in zip(line.budget, line.share, strict=True)
    )
    says = "in the layer where they are fewest, with 95 % intervals; a pursuit stays as it was set"
    chart = falls(drawn, axis, title, end)
    named = legend([line.name for line in drawn])
    whole, table = title + cut(len(drawn), len(lines)), Table("found", title, columns, rows)
    yield Drawn(whole, says, chart, named, table)


def _line(name: str, noises: Sequence[_Noise], sort: str) -> Fall:
    """Shares in percent with their intervals, noise by noise."""
    count = noises[0].layers[0]["signals"]
    found = [wilson(round(one.found(sort) * count), count) for one in noises]
    share, low, high = (100 * np.array(ends) for ends in zip(*((e.value, e.low, e.high) for e in found), strict=True))
    return Fall(name, np.array([one.noise for one in noises]), share, low, high, whole=False)
