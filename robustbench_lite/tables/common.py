"""What tables share: numbers as text, failures and warnings as footnotes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from robustbench_lite.results.evaluation import Group, through
from robustbench_lite.results.statistics import Estimate
from robustbench_lite.tables.base import Table, Value

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["MISSING", "Footnotes", "count", "label", "left_out", "number", "share", "spread", "unsaid"]

Kind = Literal["measured", "published", "derived"]
_NAMED = 6  # cells that a sentence names
_TINY = 1e-5  # below it numbers are written with an exponent
MISSING = Value("—", kind="missing")


@dataclass
class Footnotes:
    """Numbered remarks, each said once."""

    texts: list[str] = field(default_factory=list)
    cells: set[str] = field(default_factory=set)  # whose result stands in the table, if only that they failed

    def mark(self, text: str) -> str:
        """The mark that refers to this remark, such as [1]."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def name(self, text: str, group: Group) -> Value:
        """A label marked with what a reader must know of its cell: why it has no numbers, or its warnings."""
        self.cells.add(str(group.cell["cell"]))
        remarks = [group.trouble] if group.trouble else [f"warning: {text}" for text in group.cell["warnings"] or []]
        marks = "".join(self.mark(remark) for remark in remarks)
        return Value(text, kind="label", note="; ".join(remarks), mark=marks)

    def lines(self, results: Results) -> tuple[str, ...]:
        return (*(f"[{i}] {text}" for i, text in enumerate(self.texts, 1)), *results.problems)

    def shown(self) -> frozenset[str]:
        """The ids of the cells whose result stands in the table."""
        return frozenset(self.cells)


def left_out(results: Results, printed: Iterable[Table]) -> str:
    """A sentence on finished cells whose result stands in none of the tables; empty where there is none."""
    return unsaid(results, frozenset[str]().union(*(table.cells for table in printed)), "in no table above")


def unsaid(results: Results, shown: frozenset[str], where: str) -> str:
    """A sentence on finished cells that are not among those shown; empty where there is none."""
    names: Counter[str] = Counter()
    for cell in results.cell_table.to_pylist():
        if cell["status"] == "ok" and cell["cell"] not in shown:
            names[f"{cell['variant']} on {through(cell)} ({cell['dataset']})"] += 1
    if not names:
        return ""
    said = "; ".join([*names][:_NAMED]) + (f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    many = names.total()
    return f"{many} finished cell{'s stand' if many > 1 else ' stands'} {where}: {said}"


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
    if math.isnan(estimate.low):
        text, few = _significant(estimate.value, digits), f"too few samples for an interval (n={estimate.n})"
        return Value(text, estimate.value, n=estimate.n, kind=kind, note=few, mark=mark)
    value, low, high = (_significant(part, digits) for part in (estimate.value, estimate.low, estimate.high))
    text = f"{value} [{low}, {high}]"
    return Value(text, estimate.value, estimate.low, estimate.high, estimate.n, kind, mark=mark)


def share(estimate: Estimate, *, interval: bool = True) -> Value:
    """A share in percent, with its interval unless that is asked to be left out of the text."""
    if math.isnan(estimate.value):
        return Value("—", n=0, kind="missing", note="a share of no samples")
    value, low, high = (100 * part for part in (estimate.value, estimate.low, estimate.high))
    if math.isnan(low):
        return Value(f"{value:.1f}", value, n=estimate.n, note=f"too few samples for an interval (n={estimate.n})")
    text = f"{value:.1f} [{low:.1f}, {high:.1f}]" if interval else f"{value:.1f}"
    return Value(text, value, low, high, estimate.n)


def _significant(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < _TINY:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{min(places, 8)}f}"
