"""Measured rows by hand, and as they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_lite.results.store import Results, Store, read
from robustbench_lite.sparse_coding import Measured, Under

_UNDER = Under(worst=0.3, mean=0.1, recovered=0.75, tightness=0.6, broken=0)
_ROW = Measured("mine", "hard", 1, 0.01, 8, 0.25, 2, 4, 1.0, 1.0, 0.5, replace(_UNDER, worst=0.2), _UNDER)


def stored(cell: str = "c", **changes: Any) -> dict[str, Any]:
    """The same as a run stores it: what is no number is null."""
    of_the_cell = {"cell": cell, "suite": "s", "name": cell, "status": "ok", "set_for": 0.01, "steps": 2, "seed": 0}
    atoms = {"atoms_shape": [1, 1, 1, 2], "atoms": np.array([0.6, -0.8], "<f4").tobytes()}
    return {key: None if value != value else value for key, value in (row() | of_the_cell | atoms | changes).items()}  # noqa: PLR0124


def results_of(folder: Path, *rows: dict[str, Any]) -> Results:
    """A results folder with these rows, written and read back."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for one in rows:
        cells.setdefault(one["cell"], []).append(one)
    store = Store(folder)
    for cell, own in cells.items():
        store.write_made(cell, {"sparse_coding": own})
    store.write_run(
        {"name": "s", "sparse_coding": [*cells], "sparse_coding_cells": [*cells], "cells": [], "finished": "now"}
    )
    return read(folder)


def row(**changes: Any) -> dict[str, Any]:
    return {**_ROW.row(), **changes}
