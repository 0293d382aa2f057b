"""How far sparse representations move under noise, layer by layer, beside what the theorems promise.

Made of measured rows (`sparse_coding.stability`), not of a run's results: it is no table of a suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.tables.values import count, label, number, share

__all__ = ["stability_table"]

_TITLE = "Stability of sparse representations"
_MEASURED = ("noise", "coherence", "random_mean", "random_worst", "adversarial_worst")
_SHARES = ("promised", "random_recovered", "adversarial_recovered")
_COLUMNS = (
    Column("model", "model", numeric=False, group=True),
    Column("pursuit", "pursuit", numeric=False),
    Column("layer", "layer"),
    Column("noise", "noise"),
    Column("coherence", "mu", priority=2),
    Column("stripe", "stripe", priority=2),
    Column("promised", "promised", "%", interval=True, priority=2),
    Column("bound", "bound"),
    Column("random_mean", "random, mean", priority=2),
    Column("random_worst", "random, worst"),
    Column("adversarial_worst", "adversarial, worst"),
    Column("tightness", "of the bound"),
    Column("random_recovered", "support, random", "%", interval=True, priority=3),
    Column("adversarial_recovered", "support, adversarial", "%", interval=True),
    Column("broken", "broken"),
    Column("n", "n", priority=2),
)
_REMARK = (
    "errors ||G' - G||^P_{2,inf} of each layer under noise of the same local energy ||E||^P_{2,inf}; bound: the "
    "largest that is promised to a signal; of the bound: the largest error in units of its own signal's bound; "
    "support: signals whose nonzeros are found exactly; broken: signals for which a bound or a support was promised "
    "and not kept (Papyan, Romano, Elad, arXiv 1607.08194)"
)


def stability_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The table of rows as `Measured.row()` gives them."""
    found = list(rows)
    broken = [row for row in found if _broken(row)]
    told = [f"RED: {row['pursuit']}, layer {row['layer']} of {row['model']}: {_told(row)}" for row in broken]
    return Table("stability", _TITLE, _COLUMNS, tuple(map(_row, found)), (_REMARK, *told))


def _broken(row: Mapping[str, Any]) -> int:
    return int(row["random_broken"] + row["adversarial_broken"])


def _told(row: Mapping[str, Any]) -> str:
    return f"a promise was not kept {_broken(row)} times, so the theorem, the model or the measurement is wrong"


def _row(row: Mapping[str, Any]) -> Row:
    plain: dict[str, Value] = {key: label(row[key]) for key in ("model", "pursuit")}
    whole = {key: count(row[key], "label") for key in ("layer", "stripe")} | {"n": count(row["signals"])}
    shares = {key: _share(row, key) for key in _SHARES}
    numbers = {key: number(row[key]) for key in _MEASURED}
    bound = number(row["bound"], kind="derived", note="" if row["promised"] else "nothing is promised for this noise")
    tightness = number(row["adversarial_tightness"], kind="derived")
    broken = Value(str(_broken(row)), _broken(row), mark="RED" if _broken(row) else "")
    rest = {"bound": bound, "tightness": tightness, "broken": broken}
    return plain | whole | shares | numbers | rest


def _share(row: Mapping[str, Any], key: str) -> Value:
    return share(wilson(round(row[key] * row["signals"]), row["signals"]))
