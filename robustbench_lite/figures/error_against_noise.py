"""How far the representations of a run move as noise grows, beside what is promised."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.figures.stability import SET, errors
from robustbench_lite.tables.base import Table
from robustbench_lite.tables.stability import stability_table

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["ErrorAgainstNoise"]


@figures.register("error_against_noise")
class ErrorAgainstNoise(Figure):
    """Largest error of each layer as noise grows past what a pursuit was set for, random and adversarial."""

    title: ClassVar[str] = "Error of each layer against the local energy of the noise"

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002
        """The rows of each pursuit that has met several noises as it was set. Raises UsageError where none has."""
        sweeps = defaultdict[tuple[Any, ...], list[int]](list)
        for i, row in enumerate(results.sparse_coding_table.to_pylist()):
            if row["layer"] is not None:
                sweeps[tuple(row[key] for key in (*SET, "layer"))].append(i)
        shown = sorted(i for rows in sweeps.values() if len(rows) > 1 for i in rows)
        if not shown:
            raise UsageError("error_against_noise: expected a pursuit set for one noise under several, got none")
        return results.sparse_coding_table.take(shown).drop_columns(["atoms", "atoms_shape", "provenance"])

    def drawing(self, table: pa.Table) -> Drawing:
        return errors(table.to_pylist(), self.title)

    def data(self, table: pa.Table) -> Table:
        return stability_table(table.to_pylist())
