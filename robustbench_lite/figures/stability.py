"""Pictures of sparse coding: the atoms of a dictionary, and the error of a representation against the noise.

Drawn from measured rows and atoms at hand (`sparse_coding`), or from those that a run has stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures._page import as_svg
from robustbench_lite.figures.drawing import (
    Axis,
    Drawing,
    Gallery,
    Line,
    Panel,
    Panels,
    Pixels,
    Strip,
    Tile,
    keyed,
)
from robustbench_lite.figures.svg import round_up

__all__ = ["SET", "Atom", "atoms_figure", "errors", "errors_figure", "sheets"]

_CELL = 6  # pixels of a number of an atom
_SCALE = np.array([[0x00, 0x72, 0xB2], [0xEE, 0xEE, 0xEE], [0xE6, 0x9F, 0x00]])  # at -1, 0 and 1
_LINES = (("bound", "promised"), ("adversarial_worst", "adversarial, worst"), ("random_worst", "random, worst"))
# what a pursuit and the signals before it are: rows that agree in these differ in their noise alone
SET = ("model", "pursuit", "set_for", "setup", "iterations", "signals", "steps", "seed")

Atom = Sequence[Sequence[float]]


def atoms_figure(atoms: Sequence[Atom], title: str = "Atoms", across: int = 8) -> str:
    """Atoms (m, h, w), grey where they are 0, blue below and orange above, on one scale, as an SVG document."""
    return as_svg(sheets({title: atoms}, title, across))


def errors_figure(rows: Iterable[Mapping[str, Any]], title: str = "Error against noise") -> str:
    """Rows as `Measured.row()` gives them for growing noise: a panel for each pursuit and layer, as SVG."""
    return as_svg(errors(rows, title))


def sheets(named: Mapping[str, Sequence[Atom]], title: str, across: int = 8) -> Drawing:
    """Atoms of several dictionaries, one below the other under their names, each on a scale of its own."""
    blocks = tuple(_sheet(name, atoms, across) for name, atoms in named.items())
    return Drawing(title, f"{sum(map(len, named.values()))} atoms; 0 is grey.", blocks)


def _sheet(name: str, atoms: Sequence[Atom], across: int) -> Gallery:
    values = np.asarray(atoms, np.float64)
    shares = values / max(float(np.abs(values).max()), np.finfo(float).tiny)
    tiles = [Tile(_coloured(share), f"atom {i}") for i, share in enumerate(shares, 1)]
    strips = tuple(Strip("", tuple(tiles[i : i + across])) for i in range(0, len(tiles), across))
    return Gallery(name, strips, side=_CELL * values.shape[1])


def _coloured(shares: npt.NDArray[np.float64]) -> Pixels:
    """From blue (-1) over grey (0) to orange (1)."""
    ends = np.where(shares[..., None] > 0, _SCALE[2], _SCALE[0])
    found: Pixels = np.rint(_SCALE[1] + np.abs(shares)[..., None] * (ends - _SCALE[1])).astype(np.uint8)
    return found


def errors(rows: Iterable[Mapping[str, Any]], title: str) -> Drawing:
    """A row of panels for each pursuit, one a layer."""
    found: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: (row["layer"], float(row["noise"]))):
        found.setdefault(tuple(map(row.get, SET)), {}).setdefault(row["layer"], []).append(row)
    if not found:
        raise ValueError("errors_figure: expected rows of sparse_coding.sweep, got none")
    blocks = []
    for (model, pursuit, set_for, *_), layers in found.items():
        name = ", ".join([model, pursuit, *([f"set for {set_for:g}"] if set_for else [])])
        panels = tuple(_panel(f"{name}, layer {layer}", own) for layer, own in layers.items())
        blocks.append(Panels(panels, across=len(panels)))
    says = "Largest error of a signal's representation as noise grows; the promise ends where its conditions do."
    return Drawing(title, says, tuple(blocks), keys=keyed(blocks[0].panels[0].lines))


def _panel(name: str, rows: Sequence[Mapping[str, Any]]) -> Panel:
    lines = tuple(_line(rows, i, *both) for i, both in enumerate(_LINES))
    ends = (
        round_up(max(float(row["noise"]) for row in rows)),
        round_up(max(float(v) for line in lines for v in line.y)),
    )
    return Panel(name, Axis.of("local energy of the noise", ends[0]), Axis.of("", ends[1]), lines)


def _line(rows: Sequence[Mapping[str, Any]], number: int, column: str, name: str) -> Line:
    shown = [(float(row["noise"]), float(row[column])) for row in rows if _drawn(row, column)]
    x, y = np.array(shown, np.float64).reshape(-1, 2).T
    return Line(name, x, y, number)


def _drawn(row: Mapping[str, Any], column: str) -> bool:
    """A bound is, as far as it is promised to every signal."""
    return row[column] is not None and isfinite(row[column]) and (column != "bound" or row["promised"] == 1)
