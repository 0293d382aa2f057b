"""All evaluations of a results folder, in the order of its run: finished, failed, and not run yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from robustbench_lite.results._columns import Columns
from robustbench_lite.results.evaluation import NOT_RUN, Evaluation, parsed
from robustbench_lite.results.schema import CELLS, Row

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["evaluations"]


def evaluations(results: Results) -> list[Evaluation]:
    """Every cell and scored classifier in the order of the run; failed ones and those not run yet keep their place."""
    if "evaluations" not in results.memo:
        cells = results.cell_table.to_pylist()
        parts, none = _parts(results.sample_table), (results.sample_table.slice(0, 0),)
        out = [
            Evaluation(cell, model, *parts.get((cell["cell"], model), none))
            for cell in cells
            for model in cell["models"] or [cell["source"]]
        ]
        out += _not_run(results, cells)
        cell_places, model_places = (_places(_names(results.run, key)) for key in ("cells", "models"))
        results.memo["evaluations"] = sorted(out, key=lambda one: (cell_places(one.id), model_places(one.model)))
    return list(results.memo["evaluations"])


def _parts(table: pa.Table) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The rows of each cell and scored classifier, and where they lie in all columns: one pass over both names."""
    columns, parts = Columns(table), {}
    for key, places in _pieces(table).items():
        slices = [table.slice(start, stop - start) for start, stop in places]
        parts[key] = (slices[0], columns, places[0][0]) if len(slices) == 1 else (pa.concat_tables(slices),)
    return parts


def _pieces(table: pa.Table) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """From which row to which each cell and scored classifier has its rows; usually they are together."""
    cells, models = (np.array(table[name].to_pylist()) for name in ("cell", "model"))
    changes = (cells[1:] != cells[:-1]) | (models[1:] != models[:-1])
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(cells)]
    pieces: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for start, stop in pairwise(edges):
        if stop > start:
            pieces.setdefault((str(cells[start]), str(models[start])), []).append((start, stop))
    return pieces


def _not_run(results: Results, cells: list[Row]) -> Iterator[Evaluation]:
    """Placeholders for what an interrupted run has not come to."""
    done = {cell["cell"] for cell in cells}
    for planned in _names(results.run, "planned"):
        if not (isinstance(planned, dict) and isinstance(planned.get("models"), list)):
            continue  # not written by `run`
        if planned.get("cell") not in done:
            cell = dict.fromkeys(CELLS.names) | _known(planned, results.run) | {"status": NOT_RUN}
            for model in planned["models"]:
                yield Evaluation(cell, model, results.sample_table.slice(0, 0))


def _known(planned: Row, run: Row) -> Row:
    """What is known of a cell before it ran; older runs left the data out, and called the goal of a target a label."""
    suite = run.get("suite")
    data = suite.get("data") if isinstance(suite, dict) else None
    entry = data.get(planned.get("dataset")) if isinstance(data, dict) else None
    known = {"data": json.dumps(entry)} if isinstance(entry, dict) else {}
    aimed = parsed(planned.get("params")).get("target") is not None
    return known | planned | ({"goal": "target"} if aimed else {})


def _places(names: list[Any]) -> Callable[[str], int]:
    """Where a name stands first; behind all others where it does not."""
    places = {name: i for i, name in reversed(list(enumerate(names))) if isinstance(name, str)}
    return lambda name: places.get(name, len(names))


def _names(run: Row, key: str) -> list[Any]:
    value = run.get(key)
    return value if isinstance(value, list) else []
