"""What a generator's images are worth while it learns: a score against steps, and against seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Axis, Drawing, Line, Panel, Panels, keyed
from robustbench_lite.figures.svg import PALETTE, round_up
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import count, label, number

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Learning"]

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

    def drawing(self, table: pa.Table) -> Drawing:
        lines = _lines(table)
        panels = tuple(_panel(lines, axis) for axis in _AXES)
        keys = keyed(panels[0].lines)
        return Drawing(self.title, f"{_OF[self.of]}.", (Panels(panels),), heading=_OF[self.of], keys=keys)

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


def _panel(lines: dict[str, list[dict[str, Any]]], axis: str) -> Panel:
    every = [row for line in lines.values() for row in line]
    right = round_up(max(row[axis] for row in every))
    low = -round_up(-least) if (least := min(row["value"] for row in every)) < 0 else 0.0
    drawn = [
        Line(name, np.array([row[axis] for row in line]), np.array([row["value"] for row in line]), number)
        for number, (name, line) in enumerate(lines.items())
    ]
    up = Axis.of("", round_up(max(row["value"] for row in every)), low)
    return Panel("", Axis.of(_AXES[axis], right), up, tuple(drawn))
