"""What tables share: numbers as text, failures and warnings as footnotes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from robustbench_lite.results.evaluation import Evaluation, through
from robustbench_lite.results.statistics import Estimate
from robustbench_lite.tables.base import Table, Value
from robustbench_lite.text import bracketed, percent, significant

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["MISSING", "Footnotes", "count", "label", "left_out", "number", "share", "spread", "unsaid"]

Kind = Literal["measured", "published", "derived"]
_NAMED = 6  # cells that a sentence names
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

    def name(self, text: str, one: Evaluation) -> Value:
        """A label marked with what a reader must know of its cell: why it has no numbers, or its warnings."""
        self.cells.add(one.id)
        remarks = [one.trouble] if one.trouble else [f"warning: {caveat.text}" for caveat in one.caveats]
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
    return Value(significant(float(value), digits), float(value), kind=kind, note=note)


def spread(estimate: Estimate, digits: int = 3, kind: Kind = "measured", mark: str = "") -> Value:
    """A number with its interval."""
    if math.isnan(estimate.value):
        return Value("—", n=estimate.n, kind="missing", note="not defined on every sample", mark=mark)
    if math.isnan(estimate.low):
        text, few = significant(estimate.value, digits), f"too few samples for an interval (n={estimate.n})"
        return Value(text, estimate.value, n=estimate.n, kind=kind, note=few, mark=mark)
    value, low, high = (significant(part, digits) for part in (estimate.value, estimate.low, estimate.high))
    text = bracketed(value, low, high)
    return Value(text, estimate.value, estimate.low, estimate.high, estimate.n, kind, mark=mark)


def share(estimate: Estimate, *, interval: bool = True) -> Value:
    """A share in percent, with its interval unless that is asked to be left out of the text."""
    if math.isnan(estimate.value):
        return Value("—", n=0, kind="missing", note="a share of no samples")
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (100 * part for part in ends)
    if math.isnan(low):
        few = f"too few samples for an interval (n={estimate.n})"
        return Value(percent(estimate.value), value, n=estimate.n, note=few)
    text = bracketed(*map(percent, ends)) if interval else percent(estimate.value)
    return Value(text, value, low, high, estimate.n)
