"""What a results folder says of sparse coding, measured again: signals, dictionaries and noise are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robustbench_lite.results.made import MADE, SPARSE_CODING
from robustbench_lite.results.schema import Row
from robustbench_lite.results.store import Results
from robustbench_lite.runner.rejudge import Disagreement
from robustbench_lite.runner.sparse_coding.cell import SparseCell, sparse_cells
from robustbench_lite.runner.sparse_coding.measure import measured
from robustbench_lite.suite.builder import Suite

__all__ = ["remeasured"]

_OF_THE_RUN = {"suite", "traceback", "device", "provenance", "seconds"}  # when and where, not what
_ROUNDING = 1e-4  # of a number: an ascent magnifies what another machine rounds


def remeasured(suite: Suite, results: Results) -> Iterator[tuple[int, str, list[Disagreement]]]:
    """For each planned cell how many rows are measured again, what is missing, and what disagrees."""
    cells, stored = sparse_cells(suite, results.run.get("limit")), dict[str, list[Row]]()
    for row in results.sparse_coding_table.to_pylist():
        stored.setdefault(row["cell"], []).append(row)
    yield 0, "", list(_plan(cells, results))
    for cell in cells:
        if cell.id in stored:
            yield len(stored[cell.id]), "", list(_differences(cell, stored[cell.id]))
        else:
            yield 0, f"{cell.dataset} · {cell.name}: is not in the results", []


def _plan(cells: tuple[SparseCell, ...], results: Results) -> Iterator[Disagreement]:
    """Ids and names in run.json that are not those of its suite."""
    said = {"sparse_coding": [cell.name for cell in cells], MADE["sparse_coding"].planned: [cell.id for cell in cells]}
    for key, found in said.items():
        if (results.run.get(key) or []) != found:
            yield Disagreement("run.json", "*", key, results.run.get(key), found)


def _differences(cell: SparseCell, stored: list[Row]) -> Iterator[Disagreement]:
    found = measured(cell).contents[cell.kind]
    if len(found) != len(stored):
        yield Disagreement(cell.id, "*", "layers", len(stored), len(found))
        return
    for row, again in zip(stored, found, strict=True):
        for name in SPARSE_CODING.names:
            if name not in _OF_THE_RUN and not _same(row[name], again.get(name)):
                shown = [value if name != "atoms" else "other atoms" for value in (row[name], again.get(name))]
                yield Disagreement(cell.id, f"layer {row['layer']}", name, *shown)


def _same(stored: Any, found: Any) -> bool:
    """Whether two values are the same, numbers up to rounding."""
    if isinstance(stored, bytes) and isinstance(found, bytes) and len(stored) == len(found):
        return bool(np.allclose(np.frombuffer(stored, "<f4"), np.frombuffer(found, "<f4"), rtol=0, atol=_ROUNDING))
    if isinstance(stored, float) and isinstance(found, float):
        return bool(np.isclose(stored, found, rtol=_ROUNDING, atol=1e-9))
    return bool(stored == found)
