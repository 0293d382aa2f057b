"""What tables of generators share: rows of cells, what became of them in a word, why some have no numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from robustbench_lite.results.statistics import Estimate
from robustbench_lite.tables.base import Value
from robustbench_lite.tables.values import MISSING, Footnotes, label, number, spread

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["NOTHING", "beside", "cells", "levels", "outcome", "seconds"]

NOTHING = "there are no generators in these results; a suite names some under `generators:` (docs/suites.md)"
Cell = dict[str, Any]


def cells(results: Results) -> list[Cell]:
    """The rows of all generators, in the order of the suite."""
    return list(results.generator_table.to_pylist())


def outcome(cell: Cell, notes: Footnotes) -> Value:
    """What became of it, with the reason beneath the table where it is not as it should be."""
    reason = cell["reason"] or ("" if cell["status"] == "ok" else cell["error"])
    word = cell["outcome"] or ("not judged" if cell["status"] == "ok" else "failed")
    mark = notes.mark(f"{cell['name']}: {reason}") if reason else ""
    return Value(word, kind="label", note=reason, mark=mark)


def beside(cell: Cell, key: str, digits: int = 3, times: float = 1.0) -> dict[str, Value]:
    """A score, and that of as many real images, with their intervals where they are stored."""
    return {name: _scored(cell, name, digits, times) for name in (key, f"{key}_real")}


def _scored(cell: Cell, key: str, digits: int, times: float) -> Value:
    value, low, high = (cell[f"{key}{end}"] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return number(None if value is None else times * value, digits)
    return spread(Estimate(times * value, times * low, times * high, cell["n"] or 0), digits)


def levels(cell: Cell) -> dict[int, float]:
    """The sliced Wasserstein distance at each resolution, by its side in pixels."""
    scores: dict[str, float] = json.loads(cell["scores"] or "{}")
    found = {key.removeprefix("swd_"): value for key, value in scores.items() if key.startswith("swd_")}
    return {int(side): value for side, value in sorted(found.items()) if side.isdecimal()}


def seconds(cell: Cell) -> Value:
    """Of training; a bundled generator was trained elsewhere."""
    if cell["seconds"] is None:
        return Value("—", kind="missing", note="bundled" if cell["bundled"] else cell["error"] or "")
    return number(cell["seconds"])


def named(text: str | None) -> Value:
    """A word, or nothing."""
    return MISSING if text is None else label(text)
