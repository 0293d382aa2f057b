"""All evaluations of a results folder, in the order of its run: finished, failed, and not run yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from robustbench_lite.results.evaluation import NOT_RUN, Evaluation, parsed
from robustbench_lite.results.schema import CELLS, Row

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["evaluations"]


def evaluations(results: Results) -> list[Evaluation]:
    """Every cell and scored classifier in the order of the run; failed ones and those not run yet keep their place."""
    if "evaluations" not in results.memo:
        cells = results.cell_table.to_pylist()
        rows = _split(results.sample_table, "cell")
        none = results.sample_table.slice(0, 0)
        out = [one for cell in cells for one in _scored(cell, rows.get(cell["cell"], none))]
        out += _not_run(results, cells)
        results.memo["evaluations"] = sorted(out, key=lambda one: _position(one, results.run))
    return list(results.memo["evaluations"])


def _scored(cell: Row, rows: pa.Table) -> Iterator[Evaluation]:
    parts = _split(rows, "model")
    for model in cell["models"] or [cell["source"]]:
        yield Evaluation(cell, model, parts.get(model, rows.slice(0, 0)))


def _split(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """The rows of each value of a text column, as slices."""
    names = np.array(table[column].to_pylist())
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    parts: dict[str, list[pa.Table]] = {}
    for start, stop in pairwise(edges):
        if stop > start:
            parts.setdefault(str(names[start]), []).append(table.slice(start, stop - start))
    return {name: slices[0] if len(slices) == 1 else pa.concat_tables(slices) for name, slices in parts.items()}


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


def _position(one: Evaluation, run: Row) -> tuple[int, int]:
    """In the order of the run, then of the scored classifiers."""
    lists = [(_names(run, "cells"), one.cell["cell"]), (_names(run, "models"), one.model)]
    first, second = (names.index(name) if name in names else len(names) for names, name in lists)
    return first, second


def _names(run: Row, key: str) -> list[Any]:
    value = run.get(key)
    return value if isinstance(value, list) else []
