"""What became of a cell that measures a pursuit: a row per layer, or one that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.failure import failed_columns
from robustbench_lite.runner.sparse_coding.cell import SparseCell

__all__ = ["SparseReport", "SparseStage", "described"]

SparseStage = Literal["load", "measure", "store"]


@dataclass(frozen=True)
class SparseReport:
    """A pursuit that is measured, or has failed."""

    cell: SparseCell
    described: Row
    layers: list[Row] = field(default_factory=list)

    @property
    def contents(self) -> dict[str, list[Row]]:
        """Rows by part."""
        return {self.cell.kind: [self.described | row for row in self.layers]}

    @property
    def failed(self) -> bool:
        return any(row.get("status") == "failed" for row in self.layers)

    @property
    def said(self) -> str:
        """What became of it, in a few words."""
        if self.failed:
            return f"FAILED: {self.layers[0]['error']}"
        broken = sum(row["random_broken"] + row["adversarial_broken"] for row in self.layers)
        promised = any(row["promised"] > 0 for row in self.layers)
        kept = "every promise kept" if promised else "nothing is promised for this noise"
        return f"{f'{broken} PROMISES BROKEN' if broken else kept}, {self.described['seconds']:.1f} s"

    def failure(self, error: BaseException, stage: SparseStage) -> SparseReport:
        """The same cell as one that has failed at this stage: one row, without a layer."""
        return replace(self, layers=[failed_columns(self.cell.name, error, stage)])


def described(cell: SparseCell) -> Row:
    """Columns of its rows that are known before it is measured."""
    one = cell.entry
    what = {"cell": cell.id, **cell.names, "setup": canonical(one.setup.params()), "status": "ok", "device": "cpu"}
    how = {"pursuit": one.pursuit, "iterations": one.iterations, "noise": one.noise, "set_for": one.set_for}
    return what | how | {"signals": cell.n, "steps": one.steps, "seed": one.seed}
