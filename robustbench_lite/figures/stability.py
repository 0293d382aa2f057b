"""Pictures of sparse coding: the atoms of a dictionary, and the error of a representation against the noise.

Drawn from measured rows and atoms at hand (`sparse_coding`), not from a run's results: no figures of a suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from robustbench_lite.figures.svg import PALETTE, document, element
from robustbench_lite.text import significant

__all__ = ["atoms_figure", "errors_figure"]

_CELL, _GAP = 6, 10  # pixels of a number of an atom, and between atoms
_WIDTH, _HEIGHT, _LEFT, _TOP, _PANEL = 340, 220, 62, 40, 440
_LINES = (
    ("bound", "promised", "4 3"),
    ("adversarial_worst", "adversarial, worst", ""),
    ("random_worst", "random, worst", ""),
)

Atom = Sequence[Sequence[float]]


def atoms_figure(atoms: Sequence[Atom], title: str = "Atoms", across: int = 8) -> str:
    """Atoms (m, h, w), grey where they are 0, blue below and orange above, on one scale, as an SVG document."""
    tall, wide = len(atoms[0]) * _CELL + _GAP, len(atoms[0][0]) * _CELL + _GAP
    most = max(abs(value) for atom in atoms for row in atom for value in row)
    across = min(across, len(atoms))
    parts = [
        element("g", _atom(atom, most), transform=f"translate({_GAP + i % across * wide},{30 + i // across * tall})")
        for i, atom in enumerate(atoms)
    ]
    parts.append(element("text", text=title, x=_GAP, y=18, font_weight=600))
    width, height = _GAP + across * wide, 30 + -(-len(atoms) // across) * tall
    return document(max(width, 160), height, title, f"{len(atoms)} atoms; 0 is grey.", parts)


def _atom(atom: Atom, most: float) -> Iterator[str]:
    for y, row in enumerate(atom):
        for x, value in enumerate(row):
            yield element("rect", x=x * _CELL, y=y * _CELL, width=_CELL, height=_CELL, fill=_colour(value / most))


def _colour(value: float) -> str:
    """From blue (-1) over grey (0) to orange (1)."""
    end = (0xE6, 0x9F, 0x00) if value > 0 else (0x00, 0x72, 0xB2)
    return "#" + "".join(f"{round(0xEE + abs(value) * (part - 0xEE)):02x}" for part in end)


def errors_figure(rows: Iterable[Mapping[str, Any]], title: str = "Error against noise") -> str:
    """Rows as `Measured.row()` gives them for growing noise: a panel for each layer, as an SVG document."""
    panels: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: float(row["noise"])):
        panels.setdefault((row["model"], row["pursuit"], row["layer"]), []).append(row)
    if not panels:
        raise ValueError("errors_figure: expected rows of sparse_coding.sweep, got none")
    parts = [
        element("g", _panel(key, lines), transform=f"translate({_LEFT + i * _PANEL},{_TOP})")
        for i, (key, lines) in enumerate(panels.items())
    ]
    for i, (_, name, dashes) in enumerate(_LINES):
        x, y = _LEFT + 150 * i, _TOP + _HEIGHT + 58
        parts.append(element("line", x1=x, x2=x + 20, y1=y, y2=y, stroke=PALETTE[i], stroke_width=2, **_dashed(dashes)))
        parts.append(element("text", text=name, x=x + 26, y=y + 4))
    says = "Largest error of a signal's representation as noise grows; the promise ends where its conditions do."
    return document(_PANEL * len(panels) + 20, _TOP + _HEIGHT + 74, title, says, parts)


def _dashed(dashes: str) -> dict[str, str]:
    return {"stroke_dasharray": dashes} if dashes else {}


def _panel(key: tuple[str, str, int], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    model, pursuit, layer = key
    ends = max(float(row["noise"]) for row in rows), max(_values(rows))
    yield element("text", text=f"{model}, {pursuit}, layer {layer}", y=-14, font_weight=600)
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
    return isfinite(row[column]) and (column != "bound" or row["promised"] == 1)


def _points(
    rows: Sequence[Mapping[str, Any]], column: str, place: Callable[[float, float], tuple[float, float]]
) -> Iterator[str]:
    for row in rows:
        if _drawn(row, column):
            x, y = place(float(row["noise"]), float(row[column]))
            yield f"{x:.1f},{y:.1f}"
