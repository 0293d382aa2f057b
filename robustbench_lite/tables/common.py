"""What tables share: cells with their samples' columns, numbers as text, failures and warnings as footnotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from robustbench_lite.measure import Estimate
from robustbench_lite.record import Row
from robustbench_lite.table import Value

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["MISSING", "Footnotes", "Group", "groups", "label", "number", "share", "spread"]

MISSING = Value("—", kind="missing")


@dataclass(frozen=True)
class Group:
    """One cell and the columns of its samples."""

    cell: Row
    columns: dict[str, npt.NDArray[Any]]

    @property
    def ok(self) -> bool:
        return bool(self.cell["status"] == "ok")

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]


def groups(results: Results) -> list[Group]:
    """The cells in the order of the run, each with its samples; a failed cell keeps its place and has no numbers."""
    table = results.sample_table
    out = []
    for cell in results.cell_table.to_pylist():
        rows = table.filter(pc.equal(table["cell"], cell["cell"]))
        out.append(Group(cell, {name: rows[name].to_numpy() for name in rows.column_names}))
    return out


@dataclass
class Footnotes:
    """Numbered remarks, each said once."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """The mark that refers to this remark, such as [1]."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def of(self, cell: Row) -> str:
        """Marks for what a reader must know of a cell: its failure, or its warnings."""
        remarks = [f"failed: {cell['error']}"] if cell["status"] != "ok" else list(cell["warnings"] or [])
        return "".join(f" {self.mark(remark)}" for remark in remarks)

    def lines(self) -> tuple[str, ...]:
        return tuple(f"[{i}] {text}" for i, text in enumerate(self.texts, 1))


def label(text: str) -> Value:
    return Value(text, kind="label")


def number(value: float | None, digits: int = 3, kind: Any = "measured", note: str = "") -> Value:
    """A plain number with `digits` significant digits; None and NaN are missing, infinity is said."""
    if value is None or np.isnan(value):
        return MISSING
    if np.isinf(value):
        return Value("inf", kind=kind, note=note or "more than half of the samples fail")
    return Value(_significant(value, digits), float(value), kind=kind, note=note)


def spread(estimate: Estimate, digits: int = 3, kind: Any = "measured") -> Value:
    """A number with its interval."""
    parts = [_significant(value, digits) for value in (estimate.value, estimate.low, estimate.high)]
    text = f"{parts[0]} [{parts[1]}, {parts[2]}]"
    return Value(text, estimate.value, estimate.low, estimate.high, estimate.n, kind)


def share(estimate: Estimate, *, interval: bool = True) -> Value:
    """A share in percent, with its interval unless that is asked to be left out of the text."""
    parts = [f"{100 * value:.1f}" for value in (estimate.value, estimate.low, estimate.high)]
    text = f"{parts[0]} [{parts[1]}, {parts[2]}]" if interval else parts[0]
    return Value(text, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)


def missing(count: int) -> Sequence[Value]:
    return [MISSING] * count


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{min(places, 8)}f}"
