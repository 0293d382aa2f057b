"""Panels side by side, one for each classifier: a value at every point of a grid, axes, marks and a legend."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.figures.svg import document, element

__all__ = ["META", "Plane"]

META = b"robustbench_lite.figure"
_SIDE, _GAP, _TOP, _LEFT = 190, 34, 58, 46  # of a panel, in pixels


@dataclass(frozen=True)
class Plane:
    """Stored rows as panels: per classifier a value at every point (models, points, points), and what is known."""

    facts: dict[str, Any]
    models: list[str]
    values: npt.NDArray[Any]

    @classmethod
    def of(cls, table: pa.Table, column: str) -> Plane:
        facts = json.loads(table.schema.metadata[META])
        if not isinstance(facts["extent"], list):  # as it was stored at first: the same along both axes
            facts |= {"extent": [facts["extent"]] * 2, "units": "RMSD on the 0-255 scale; pixels are not clipped"}
        models = list(dict.fromkeys(table["model"].to_pylist()))
        values = np.array(table[column].to_pylist()).reshape(len(models), facts["points"], facts["points"])
        return cls(facts, models, values)

    @property
    def heading(self) -> str:
        return f"{self.facts['dataset']} {self.facts['sample']}, labelled {self.name(self.facts['label'])}"

    @property
    def centre(self) -> tuple[int, int]:
        """The point nearest to the image itself."""
        return self.facts["points"] // 2, self.facts["points"] // 2

    def name(self, label: int) -> str:
        return str(self.facts["classes"][label])

    def draw(self, title: str, says: str, colours: Sequence[str], keys: Sequence[tuple[str, str]]) -> str:
        """An SVG document: values are places in `colours`; `keys` are colours with what they mean."""
        width = max(_LEFT + len(self.models) * (_SIDE + _GAP), 800)
        rows = -(-len(keys) // 5)
        height = _TOP + _SIDE + 84 + 18 * (rows + max(1, len(self.facts["marks"])))
        parts = [element("rect", width=width, height=height, fill="white")]
        parts.append(element("text", text=self.heading, x=_LEFT, y=20, font_size=14, font_weight=600))
        for i, model in enumerate(self.models):
            at = _LEFT + i * (_SIDE + _GAP)
            panel = _panel(model, self.values[i], colours, self.facts)
            parts += [element("g", panel, transform=f"translate({at},{_TOP})")]
        parts += _legend(self.facts, keys, _TOP + _SIDE + 48)
        axes = " and ".join(self.facts["axes"])
        return document(width, height, f"{title}: {self.heading}", f"{says} Spanned by {axes}.", parts)


def _panel(model: str, found: npt.NDArray[Any], colours: Sequence[str], facts: dict[str, Any]) -> Iterator[str]:
    cell = _SIDE / facts["points"]
    for i, line in enumerate(found):
        y, start = _SIDE - (i + 1) * cell, 0
        for k, same in groupby(line.tolist()):  # one rectangle for each run of equal values
            length = len(list(same))
            box = {"x": start * cell, "y": y, "width": length * cell, "height": cell + 0.4}
            yield element("rect", fill=colours[k], shape_rendering="crispEdges", **box)
            start += length
    yield element("rect", width=_SIDE, height=_SIDE, fill="none", stroke="#333")
    yield element("text", text=model, y=-8, font_weight=600)
    across, up = facts["extent"]
    for part in (-1, 0, 1):
        at = _place(part, 1)
        yield element("text", text=f"{part * across:g}", x=at, y=_SIDE + 14, text_anchor="middle")
        yield element("text", text=f"{part * up:g}", x=-5, y=_SIDE - at + 4, text_anchor="end")
    yield _dot(0.0, 0.0, "0", facts)
    for i, mark in enumerate(facts["marks"], 1):
        if _inside(mark, facts) and model in mark.get("on", [model]):
            yield _dot(mark["u"], mark["v"], str(i), facts)


def _inside(mark: dict[str, Any], facts: dict[str, Any]) -> bool:
    across, up = facts["extent"]
    return bool(abs(mark["u"]) <= across and abs(mark["v"]) <= up)


def _place(value: float, extent: float) -> float:
    return _SIDE * (value + extent) / (2 * extent)


def _dot(u: float, v: float, name: str, facts: dict[str, Any]) -> str:
    across, up = facts["extent"]
    x, y = _place(u, across), _SIDE - _place(v, up)
    circle = element("circle", cx=x, cy=y, r=6.5, fill="white", stroke="black")
    return circle + element("text", text=name, x=x, y=y + 3.5, text_anchor="middle", font_size=9)


def _legend(facts: dict[str, Any], keys: Sequence[tuple[str, str]], top: float) -> Iterator[str]:
    across, up = facts["axes"]
    yield element("text", text=f"across: {across}; up: {up}", x=_LEFT, y=top - 14.0)
    yield element("text", text=f"units: {facts['units']}", x=_LEFT, y=top + 2.0)
    top += 22.0
    for i, (colour, meaning) in enumerate(keys):
        x, y = _LEFT + (i % 5) * 150.0, top + 18.0 * (i // 5)
        yield element("rect", x=x, y=y - 9, width=11, height=11, fill=colour)
        yield element("text", text=meaning, x=x + 16, y=y + 1)
    top += 18.0 * -(-len(keys) // 5)
    lines = ["0: the image itself"] if not facts["marks"] else []
    for i, mark in enumerate(facts["marks"], 1):
        seen = f"{mark['off']} off the plane, drawn at its projection" if _inside(mark, facts) else "beyond the frame"
        lines.append(f"{i}: {mark['name']} ({seen})")
    for i, line in enumerate(lines):
        yield element("text", text=line, x=_LEFT, y=top + 18.0 * i + 1)
