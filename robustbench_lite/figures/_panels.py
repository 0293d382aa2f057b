"""Panels side by side, one for each classifier: a value at every point of a grid, axes, marks and a legend."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.figures.drawing import Axis, Drawing, Key, Mark, Panel, Panels

__all__ = ["META", "Plane"]

META = b"robustbench_lite.figure"
_TOUCH = 0.14  # of the way from the centre to the edge: marks that are nearer would cover each other


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

    def drawing(self, title: str, says: str, colours: Sequence[str], keys: Sequence[tuple[str, str]]) -> Drawing:
        """Values are places in `colours`; `keys` are colours with what they mean."""
        table = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], np.uint8)
        panels = (self._panel(*both, table) for both in zip(self.models, self.values, strict=True))
        across, up = self.facts["axes"]
        return Drawing(
            f"{title}: {self.heading}",
            f"{says} Spanned by {across} and {up}.",
            (Panels(tuple(panels), across=max(1, len(self.models))),),
            heading=self.heading,
            keys=tuple(Key(meaning, colour) for colour, meaning in keys),
            notes=(f"across: {across}; up: {up}", f"units: {self.facts['units']}", *self._marked()),
        )

    def _panel(self, model: str, values: npt.NDArray[Any], colours: npt.NDArray[np.uint8]) -> Panel:
        places = {0: (0.0, 0.0)}
        for i, mark in enumerate(self.facts["marks"], 1):
            if self._inside(mark) and model in mark.get("on", [model]):
                places[i] = mark["u"], mark["v"]
        marks = _apart(places, [_TOUCH * extent for extent in self.facts["extent"]])
        x, y = (_axis(extent) for extent in self.facts["extent"])
        image = np.ascontiguousarray(colours[values[::-1]])  # rows are stored from below
        return Panel(model, x, y, image=image, marks=tuple(marks))

    def _inside(self, mark: dict[str, Any]) -> bool:
        across, up = self.facts["extent"]
        return bool(abs(mark["u"]) <= across and abs(mark["v"]) <= up)

    def _marked(self) -> Iterator[str]:
        """What the numbers on the panels are."""
        if not self.facts["marks"]:
            yield "0: the image itself"
        else:
            yield "0: the image itself; other numbers: adversarial images, at their projections"
        for i, mark in enumerate(self.facts["marks"], 1):
            off = f"{mark['off']} off the plane" if self._inside(mark) else "beyond the frame"
            yield f"{i}: {mark['name']} ({off})"


def _axis(extent: float) -> Axis:
    return Axis("", -extent, extent, tuple((part * extent, f"{part * extent:g}") for part in (-1, 0, 1)))


def _apart(places: dict[int, tuple[float, float]], near: Sequence[float]) -> list[Mark]:
    """A mark for each place; those that would cover each other are one, at their mean, with all their numbers."""
    groups: list[list[int]] = []
    for i, place in places.items():
        touching = (g for g in groups if all(abs(a - b) < d for a, b, d in zip(places[g[0]], place, near, strict=True)))
        if (group := next(touching, None)) is None:
            groups.append([i])
        else:
            group.append(i)
    middles = [np.mean([places[i] for i in group], axis=0) for group in groups]
    return [Mark(float(u), float(v), _numbers(group)) for (u, v), group in zip(middles, groups, strict=True)]


def _numbers(group: Sequence[int]) -> str:
    """1, 2, 3 and 5 as 1-3, 5."""
    runs: list[list[int]] = []
    for i in group:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}\u2013{run[-1]}" for run in runs)
