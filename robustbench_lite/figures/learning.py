"""What a generator's images are worth while it learns: a score against steps, and against seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.svg import PALETTE, document, element, round_up
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import count, label, number
from robustbench_lite.text import significant

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Learning"]

_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP = 360, 220, 64, 58, 44  # of a panel, in pixels
_TICKS = 4
_AXES = {"step": "steps of the generator", "seconds": "seconds of training"}
_OF = {
    "score": "score of a few images, by the judge; of points the share near a mode",
    "swd": "sliced Wasserstein distance of a few images, times 1000",
    "wasserstein": "critic's mean score of real less that of generated images",
}
_ROWS = pa.schema([("generator", pa.string()), *((name, pa.float64()) for name in ("step", "seconds", "value"))])


@figures.register("learning")
class Learning(Figure):
    """A score of every generator while it learns, against steps and against seconds.

    As figure 3 of https://arxiv.org/abs/1704.00028.
    """

    title: ClassVar[str] = "How generators learn"

    of: Literal["score", "swd", "wasserstein"] = Field("score", description="What is drawn.")

    architecture: str | None = Field(None, description="Only generators of this architecture.")
    objective: str | None = Field(None, description="Only generators of this objective.")

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        cells = [cell for cell in results.generator_table.to_pylist() if self._asked(cell)]
        if len(cells) > len(PALETTE):
            what = f"{len(cells)} generators are more than the {len(PALETTE)} lines that can be told apart"
            raise UsageError(f"{self.registered}: {what}; --set architecture=... or objective=...")
        rows = [
            {"generator": cell["name"], "step": row["step"], "seconds": row["seconds"], "value": row[self.of]}
            for cell in cells
            for row in results.training(cell["cell"]).to_pylist()
            if row[self.of] is not None
        ]
        if not rows:
            raise UsageError(f"{results.folder}: no training is stored there in which '{self.of}' was looked at")
        return pa.Table.from_pylist(rows, schema=_ROWS)

    def _asked(self, cell: Row) -> bool:
        wanted = {"architecture": self.architecture, "objective": self.objective}
        return all(value in {None, cell[key]} for key, value in wanted.items())

    def draw(self, table: pa.Table) -> str:
        lines = _lines(table)
        colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(lines)}
        width, top = _LEFT + 2 * (_WIDTH + _GAP), _TOP + _HEIGHT + 58
        height = top + 18 * len(lines) + 8
        parts = [element("rect", width=width, height=height, fill="white")]
        parts.append(element("text", text=_OF[self.of], x=_LEFT, y=22, font_size=13, font_weight=600))
        for i, axis in enumerate(_AXES):
            place = f"translate({_LEFT + i * (_WIDTH + _GAP)},{_TOP})"
            parts.append(element("g", _panel(lines, axis, colours), transform=place))
        for i, (name, colour) in enumerate(colours.items()):
            parts.append(element("rect", x=_LEFT, y=top + 18 * i - 9, width=11, height=11, fill=colour))
            parts.append(element("text", text=name, x=_LEFT + 18, y=top + 18 * i + 1))
        return document(width, height, self.title, f"{_OF[self.of]}.", parts)

    def data(self, table: pa.Table) -> Table:
        columns = (
            Column("generator", "generator", numeric=False),
            Column("looks", "looks"),
            Column("value", "at the end"),
            Column("best", "highest"),
        )
        rows = []
        for name, line in _lines(table).items():
            values = [row["value"] for row in line]
            told = {"looks": count(len(values)), "value": number(values[-1]), "best": number(max(values))}
            rows.append({"generator": label(name)} | told)
        return Table("learning", f"{self.title}: {_OF[self.of]}", columns, tuple(rows))


def _lines(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: row["step"]):
        found.setdefault(row["generator"], []).append(row)
    return found


def _panel(lines: dict[str, list[dict[str, Any]]], axis: str, colours: dict[str, str]) -> Iterator[str]:
    every = [row for line in lines.values() for row in line]
    right = round_up(max(row[axis] for row in every))
    low = -round_up(-least) if (least := min(row["value"] for row in every)) < 0 else 0.0
    reach = round_up(max(row["value"] for row in every)) - low
    for tick in range(_TICKS + 1):
        x, y = _WIDTH * tick / _TICKS, _HEIGHT * (1 - tick / _TICKS)
        yield element("line", x1=0, x2=_WIDTH, y1=y, y2=y, stroke="#ddd")
        yield element("text", text=significant(low + reach * tick / _TICKS, 3), x=-6, y=y + 4, text_anchor="end")
        yield element("text", text=significant(right * tick / _TICKS, 3), x=x, y=_HEIGHT + 16, text_anchor="middle")
    yield element("text", text=_AXES[axis], x=_WIDTH / 2, y=_HEIGHT + 34, text_anchor="middle")
    for name, line in lines.items():
        points = [(_WIDTH * row[axis] / right, _HEIGHT * (1 - (row["value"] - low) / reach)) for row in line]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield element("polyline", points=text, fill="none", stroke=colours[name], stroke_width=2)
