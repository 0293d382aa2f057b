"""What need not run again: cells that are in the store, and still say what they said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from robustbench_lite.results.schema import Row
from robustbench_lite.results.store import Store
from robustbench_lite.runner.plan import Cell, labels, renamed
from robustbench_lite.runner.probing import close

__all__ = ["resumed", "settled"]


def resumed(store: Store, cells: Iterable[Cell]) -> set[str]:
    """Ids of what is in the store already, under the names that the suite uses now."""
    stored = store.standing()
    known = settled(cells, stored)
    for cell in cells:
        if cell.id in known and any(stored[cell.id][key] != value for key, value in labels(cell).items()):
            store.relabel(cell.id, labels(cell), renamed(cell, stored[cell.id]) or {})
    return known


def settled(cells: Iterable[Cell], stored: Mapping[str, Row]) -> set[str]:
    """Ids of the cells whose rows in the store stand: classifiers say the same, and it is known which is which."""
    rows = [(cell, stored[cell.id]) for cell in cells if cell.id in stored]
    return {cell.id for cell, row in rows if _says_the_same(cell, row) and renamed(cell, row) is not None}


def _says_the_same(cell: Cell, row: Row) -> bool:
    """Whether classifiers of the user's own code answer as they did: they may read other files than their weights."""
    before = json.loads(row.get("probes") or "{}")
    asked = {cell.weights[name]: probe for name, probe in cell.probes.items()}
    return asked.keys() == before.keys() and all(close(probe, before[key]) for key, probe in asked.items())
