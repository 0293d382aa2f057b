"""What tables share: cells with their samples' columns, numbers as text, failures and warnings as footnotes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.measure import Estimate
from robustbench_lite.record import CELLS, Row
from robustbench_lite.table import Value

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["MISSING", "Footnotes", "Group", "count", "groups", "label", "number", "share", "spread", "through"]

Kind = Literal["measured", "published", "derived"]
MISSING = Value("—", kind="missing")
_NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Group:
    """One cell and its samples as scored by one classifier."""

    cell: Row
    model: str
    rows: pa.Table

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return _array(self.rows[name])

    @property
    def title(self) -> str:
        """The classifier, and whose adversarials it saw where they are not its own."""
        source = self.cell["source"]
        return self.model if source in {None, self.model} else f"{self.model}, attacked through {through(self.cell)}"

    @cached_property
    def trouble(self) -> str:
        """Why no number of this cell may be shown; empty where all may. One failed sample withholds the cell."""
        if self.cell["status"] == _NOT_RUN:
            return _NOT_RUN
        if self.cell["status"] != "ok":
            return f"failed: {self.cell['error'] or 'no reason was stored'}"
        failed = [status for status in self.rows["status"].to_pylist() if status != "ok"]
        if failed:
            return f"failed: {len(failed)} of {len(self.rows)} samples: {failed[0]}"
        return "" if len(self.rows) else "failed: no samples are stored"

    @property
    def ok(self) -> bool:
        return not self.trouble


def through(cell: Row) -> str:
    """The sources in few words: all but the one classifier that was scored and not seen."""
    sources, models = cell["sources"] or [cell["source"]], cell["models"] or []
    unseen = [model for model in models if model not in sources]
    if len(sources) > 1 and len(unseen) <= 1 and set(sources) <= set(models):
        return f"all but {unseen[0]}" if unseen else "all"
    return " + ".join(sources)


def groups(results: Results) -> list[Group]:
    """Every cell and scored classifier in the order of the run; failed ones and those not run yet keep their place."""
    cells = results.cell_table.to_pylist()
    owners = np.array(results.sample_table["cell"].to_pylist())
    out = [group for cell in cells for group in _scored(cell, _where(results.sample_table, owners == cell["cell"]))]
    out += _not_run(results, cells)
    return sorted(out, key=lambda group: _position(group, results.run))


def _scored(cell: Row, rows: pa.Table) -> Iterator[Group]:
    models = np.array(rows["model"].to_pylist())
    for model in cell["models"] or [cell["source"]]:
        yield Group(cell, model, _where(rows, models == model))


def _where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows of a mask, as slices."""
    found = np.flatnonzero(mask)
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1) if len(found) else []
    return pa.concat_tables([table.slice(0, 0), *(table.slice(int(run[0]), len(run)) for run in runs)])


def _array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column as numpy. pyarrow's own `to_numpy`, like its comparisons, imports pandas, which takes 0.4 s."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if column.null_count or not column.num_chunks or not pa.types.is_primitive(column.type):
        return np.array(column.to_pylist())
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def _not_run(results: Results, cells: list[Row]) -> Iterator[Group]:
    """Placeholders for what an interrupted run has not come to."""
    done = {cell["cell"] for cell in cells}
    for planned in _names(results.run, "planned"):
        if planned["cell"] not in done:
            cell = dict.fromkeys(CELLS.names) | planned | {"status": _NOT_RUN}
            for model in planned["models"]:
                yield Group(cell, model, results.sample_table.slice(0, 0))


def _position(group: Group, run: Row) -> tuple[int, int]:
    """In the order of the run, then of the scored classifiers."""
    lists = [(_names(run, "cells"), group.cell["cell"]), (_names(run, "models"), group.model)]
    first, second = (names.index(name) if name in names else len(names) for names, name in lists)
    return first, second


def _names(run: Row, key: str) -> list[Any]:
    value = run.get(key)
    return value if isinstance(value, list) else []


@dataclass
class Footnotes:
    """Numbered remarks, each said once."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The mark that refers to this remark, such as [1]."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def name(self, text: str, group: Group) -> Value:
        """A label marked with what a reader must know of its cell: why it has no numbers, or its warnings."""
        remarks = [group.trouble] if group.trouble else [f"warning: {text}" for text in group.cell["warnings"] or []]
        marks = "".join(self.mark(remark) for remark in remarks)
        return Value(text, kind="label", note="; ".join(remarks), mark=marks)

    def lines(self, results: Results) -> tuple[str, ...]:
        return (*(f"[{i}] {text}" for i, text in enumerate(self.texts, 1)), *results.problems)


def label(text: Any) -> Value:
    return Value("" if text is None else str(text), kind="label")


def count(value: int | None, kind: Literal["measured", "label"] = "measured") -> Value:
    return MISSING if value is None else Value(str(int(value)), int(value), kind=kind)


def number(value: float | None, digits: int = 3, kind: Kind = "measured", note: str = "") -> Value:
    """A plain number with `digits` significant digits; None and NaN are missing, infinity is said."""
    if value is None or math.isnan(value):
        return Value("—", kind="missing", note=note)
    return Value(_significant(float(value), digits), float(value), kind=kind, note=note)


def spread(estimate: Estimate, digits: int = 3, kind: Kind = "measured", mark: str = "") -> Value:
    """A number with its interval."""
    if math.isnan(estimate.value):
        return Value("—", n=estimate.n, kind="missing", note="not defined on every sample", mark=mark)
    value, low, high = (_significant(part, digits) for part in (estimate.value, estimate.low, estimate.high))
    text = f"{value} [{low}, {high}]"
    return Value(text, estimate.value, estimate.low, estimate.high, estimate.n, kind, mark=mark)


def share(estimate: Estimate, *, interval: bool = True) -> Value:
    """A share in percent, with its interval unless that is asked to be left out of the text."""
    if math.isnan(estimate.value):
        return Value("—", n=0, kind="missing", note="a share of no samples")
    value, low, high = (100 * part for part in (estimate.value, estimate.low, estimate.high))
    text = f"{value:.1f} [{low:.1f}, {high:.1f}]" if interval else f"{value:.1f}"
    return Value(text, value, low, high, estimate.n)


def _significant(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{min(places, 8)}f}"
