"""Pictures of sparse coding: the atoms of a dictionary, and the error of a representation against the noise.

Drawn from measured rows and atoms at hand (`sparse_coding`), or from those that a run has stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from robustbench_lite.figures.svg import PALETTE, document, element, round_up
from robustbench_lite.text import significant

__all__ = ["SET", "Atom", "atoms_figure", "errors_figure", "sheets_figure"]

_CELL, _GAP = 6, 10  # pixels of a number of an atom, and between atoms
_WIDTH, _HEIGHT, _LEFT, _TOP, _PANEL = 340, 220, 62, 40, 440
_LINE = _HEIGHT + 90  # pixels from one line of panels to the next
_LINES = (
    ("bound", "promised", "4 3"),
    ("adversarial_worst", "adversarial, worst", ""),
    ("random_worst", "random, worst", ""),
)
# what a pursuit and the signals before it are: rows that agree in these differ in their noise alone
SET = ("model", "pursuit", "set_for", "setup", "iterations", "signals", "steps", "seed")

Atom = Sequence[Sequence[float]]


def atoms_figure(atoms: Sequence[Atom], title: str = "Atoms", across: int = 8) -> str:
    """Atoms (m, h, w), grey where they are 0, blue below and orange above, on one scale, as an SVG document."""
    return sheets_figure({title: atoms}, title, across)


def sheets_figure(sheets: Mapping[str, Sequence[Atom]], title: str, across: int = 8) -> str:
    """Atoms of several dictionaries, one below the other under their names, each on a scale of its own."""
    parts, width, height = list[str](), 160, 0
    for name, atoms in sheets.items():
        drawn, wide, tall = _sheet(name, atoms, min(across, len(atoms)))
        parts.append(element("g", drawn, transform=f"translate(0,{height})"))
        width, height = max(width, wide), height + tall
    count = sum(map(len, sheets.values()))
    return document(width, height, title, f"{count} atoms; 0 is grey.", parts)


def _sheet(name: str, atoms: Sequence[Atom], across: int) -> tuple[list[str], int, int]:
    """One dictionary, with its width and height."""
    tall, wide = len(atoms[0]) * _CELL + _GAP, len(atoms[0][0]) * _CELL + _GAP
    most = max(abs(value) for atom in atoms for row in atom for value in row)
    parts = [
        element("g", _atom(atom, most), transform=f"translate({_GAP + i % across * wide},{30 + i // across * tall})")
        for i, atom in enumerate(atoms)
    ]
    parts.append(element("text", text=name, x=_GAP, y=18, font_weight=600))
    return parts, _GAP + across * wide, 30 + -(-len(atoms) // across) * tall


def _atom(atom: Atom, most: float) -> Iterator[str]:
    """A square for each number that is not 0, on grey."""
    yield element("rect", width=len(atom[0]) * _CELL, height=len(atom) * _CELL, fill=_colour(0.0))
    for y, row in enumerate(atom):
        for x, value in enumerate(row):
            if _colour(value / most) != _colour(0.0):
                yield element("rect", x=x * _CELL, y=y * _CELL, width=_CELL, height=_CELL, fill=_colour(value / most))


def _colour(value: float) -> str:
    """From blue (-1) over grey (0) to orange (1)."""
    end = (0xE6, 0x9F, 0x00) if value > 0 else (0x00, 0x72, 0xB2)
    return "#" + "".join(f"{round(0xEE + abs(value) * (part - 0xEE)):02x}" for part in end)


def errors_figure(rows: Iterable[Mapping[str, Any]], title: str = "Error against noise") -> str:
    """Rows as `Measured.row()` gives them for growing noise: a line of panels for each pursuit, one a layer, as SVG."""
    panels: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: (row["layer"], float(row["noise"]))):
        panels.setdefault(tuple(map(row.get, SET)), {}).setdefault(row["layer"], []).append(row)
    if not panels:
        raise ValueError("errors_figure: expected rows of sparse_coding.sweep, got none")
    parts = []
    for line, ((model, pursuit, set_for, *_), layers) in enumerate(panels.items()):
        for column, (layer, own) in enumerate(layers.items()):
            place = f"translate({_LEFT + column * _PANEL},{_TOP + line * _LINE})"
            name = ", ".join([model, pursuit, *([f"set for {set_for:g}"] if set_for else []), f"layer {layer}"])
            parts.append(element("g", _panel(name, own), transform=place))
    height = _TOP + (len(panels) - 1) * _LINE + _HEIGHT
    for i, (_, name, dashes) in enumerate(_LINES):
        x, y = _LEFT + 150 * i, height + 58
        parts.append(element("line", x1=x, x2=x + 20, y1=y, y2=y, stroke=PALETTE[i], stroke_width=2, **_dashed(dashes)))
        parts.append(element("text", text=name, x=x + 26, y=y + 4))
    says = "Largest error of a signal's representation as noise grows; the promise ends where its conditions do."
    width = _PANEL * max(map(len, panels.values())) + 20
    return document(width, height + 74, title, says, parts)


def _dashed(dashes: str) -> dict[str, str]:
    return {"stroke_dasharray": dashes} if dashes else {}


def _panel(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ends = round_up(max(float(row["noise"]) for row in rows)), round_up(max(_values(rows)))
    yield element("text", text=name, y=-14, font_weight=600)
    for i in range(5):
        x, y = _WIDTH * i / 4, _HEIGHT * (1 - i / 4)
        yield element("line", x1=0, x2=_WIDTH, y1=y, y2=y, stroke="#ddd")
        yield element("text", text=significant(ends[1] * i / 4, 2), x=-6, y=y + 4, text_anchor="end")
        yield element("text", text=significant(ends[0] * i / 4, 2), x=x, y=_HEIGHT + 16, text_anchor="middle")
    yield element("text", text="local energy of the noise", x=_WIDTH / 2, y=_HEIGHT + 34, text_anchor="middle")
    for i, (column, _, dashes) in enumerate(_LINES):
        points = " ".join(_points(rows, column, lambda x, y: (_WIDTH * x / ends[0], _HEIGHT * (1 - y / ends[1]))))
        yield element("polyline", points=points, fill="none", stroke=PALETTE[i], stroke_width=2, **_dashed(dashes))


def _values(rows: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """What the axis of errors must hold."""
    yield from (float(row[column]) for row in rows for column, *_ in _LINES if _drawn(row, column))


def _drawn(row: Mapping[str, Any], column: str) -> bool:
    """A bound is, as far as it is promised to every signal."""
    return row[column] is not None and isfinite(row[column]) and (column != "bound" or row["promised"] == 1)


def _points(
    rows: Sequence[Mapping[str, Any]], column: str, place: Callable[[float, float], tuple[float, float]]
) -> Iterator[str]:
    for row in rows:
        if _drawn(row, column):
            x, y = place(float(row["noise"]), float(row[column]))
            yield f"{x:.1f},{y:.1f}"
