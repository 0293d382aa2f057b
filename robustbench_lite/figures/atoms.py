"""The atoms of the dictionaries of a run, each as it appears in a signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.figures.stability import Atom, sheets
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import count, label, number

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Atoms"]

_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("layer", pa.int64()),
        ("coherence", pa.float64()),
        ("shape", pa.list_(pa.int32())),  # m, C, H, W
        ("atoms", pa.binary()),  # float32 little-endian
    ]
)
_COLUMNS = (
    Column("model", "model", numeric=False, group=True),
    Column("layer", "layer"),
    Column("atoms", "atoms"),
    Column("height", "height"),
    Column("width", "width"),
    Column("coherence", "mu"),
)


@figures.register("atoms")
class Atoms(Figure):
    """Atoms of every layer of the sparse-coding models of a run, as they appear in a signal."""

    title: ClassVar[str] = "Atoms of each layer, as they appear in a signal"

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002
        """A row per model and layer. Raises UsageError where there is none."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for row in results.sparse_coding_table.to_pylist():
            if row["layer"] is not None:
                own = {key: row[key] for key in ("model", "layer", "coherence", "atoms")}
                found.setdefault((row["model"], row["layer"]), own | {"shape": row["atoms_shape"]})
        if not found:
            raise UsageError("atoms: expected results of a suite with `sparse_coding:`, got no layer in these")
        return pa.Table.from_pylist(list(found.values()), schema=_SCHEMA)

    def drawing(self, table: pa.Table) -> Drawing:
        return sheets(dict(_sheets(table)), self.title)

    def data(self, table: pa.Table) -> Table:
        rows = [
            {
                "model": label(row["model"]),
                "layer": count(row["layer"], "label"),
                "coherence": number(row["coherence"]),
                **dict(zip(("atoms", "height", "width"), map(count, np.array(row["shape"])[[0, 2, 3]]), strict=True)),
            }
            for row in table.to_pylist()
        ]
        return Table("atoms", self.title, _COLUMNS, tuple(rows))


def _sheets(table: pa.Table) -> Iterator[tuple[str, list[Atom]]]:
    """The atoms of each layer; of colours, their mean."""
    for row in table.to_pylist():
        atoms = np.frombuffer(row["atoms"], "<f4").reshape(row["shape"])
        yield f"{row['model']}, layer {row['layer']}", atoms.mean(1).tolist()
