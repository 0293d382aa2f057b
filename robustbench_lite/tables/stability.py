"""How far sparse representations move under noise, layer by layer, beside what the theorems promise.

Of a run's results, or of rows at hand (`sparse_coding.stability`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["stability", "stability_table"]

_TITLE = "Stability of sparse representations"
_MEASURED = ("noise", "coherence", "random_mean", "random_worst", "adversarial_worst")
_SHARES = ("promised", "random_recovered", "adversarial_recovered")
_COLUMNS = (
    Column("model", "model", numeric=False, group=True),
    Column("pursuit", "pursuit", numeric=False),
    Column("layer", "layer"),
    Column("noise", "noise"),
    Column("set_for", "set for", priority=2),
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
    "set for: the noise for which thresholds or penalties were chosen; support: signals whose nonzeros are found "
    "exactly; broken: signals for which a bound or a support was promised "
    "and not kept (Papyan, Romano, Elad, arXiv 1607.08194)"
)
_NOTHING = "there is no sparse coding in these results; a suite has some under `sparse_coding:` (docs/suites.md)"


@tables.register("stability", "Error of each layer of a sparse code under noise, beside what its theorem promises.")
def stability(results: Results) -> Table:
    notes = Footnotes()
    table = stability_table(results.sparse_coding_table.to_pylist(), notes)
    remarks = table.footnotes if table.rows else (_NOTHING,)
    return replace(table, footnotes=(*remarks, *notes.lines(results)))


def stability_table(rows: Iterable[Mapping[str, Any]], notes: Footnotes | None = None) -> Table:
    """The table of rows as `Measured.row()` gives them, or as they are stored; `notes`: why some have failed."""
    found, notes = list(rows), notes or Footnotes()
    broken = [row for row in found if not _failed(row) and _broken(row)]
    told = [f"RED: {row['pursuit']}, layer {row['layer']} of {row['model']}: {_told(row)}" for row in broken]
    shown = tuple(_missing(row, notes) if _failed(row) else _row(row) for row in found)
    return Table("stability", _TITLE, _COLUMNS, shown, (_REMARK, *told))


def _failed(row: Mapping[str, Any]) -> bool:
    return row.get("layer") is None


def _missing(row: Mapping[str, Any], notes: Footnotes) -> Row:
    """A cell that has failed: why stands beneath the table."""
    known = {"model": label(row["model"]), "noise": number(row["noise"]), "set_for": number(row["set_for"])}
    known["pursuit"] = Value(str(row["pursuit"]), kind="label", note=row["error"], mark=notes.mark(row["error"]))
    return filled(_COLUMNS, known, MISSING)


def _broken(row: Mapping[str, Any]) -> int:
    return int(row["random_broken"] + row["adversarial_broken"])


def _told(row: Mapping[str, Any]) -> str:
    return f"a promise was not kept {_broken(row)} times, so the theorem, the model or the measurement is wrong"


def _row(row: Mapping[str, Any]) -> Row:
    plain: dict[str, Value] = {key: label(row[key]) for key in ("model", "pursuit")}
    whole = {key: count(row[key], "label") for key in ("layer", "stripe")} | {"n": count(row["signals"])}
    shares = {key: _share(row, key) for key in _SHARES}
    numbers = {key: number(row[key]) for key in _MEASURED} | {"set_for": number(row.get("set_for"))}
    bound = number(row["bound"], kind="derived", note="" if row["promised"] else "nothing is promised for this noise")
    tightness = number(row["adversarial_tightness"], kind="derived")
    broken = Value(str(_broken(row)), _broken(row), mark="RED" if _broken(row) else "", red=bool(_broken(row)))
    rest = {"bound": bound, "tightness": tightness, "broken": broken}
    return plain | whole | shares | numbers | rest


def _share(row: Mapping[str, Any], key: str) -> Value:
    return share(wilson(round(row[key] * row["signals"]), row["signals"]))
