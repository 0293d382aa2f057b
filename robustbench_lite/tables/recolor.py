"""What is left of classifiers when brightness, contrast, saturation and hue are changed within stated limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["recolor"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("limits", "limits", numeric=False),
    Column("search", "search", numeric=False),
    Column("natural", "natural", "%", interval=True, better="higher"),
    Column("left", "right after it", "%", interval=True, better="higher"),
    Column("saved", "in 8 bits", "%", interval=True, priority=3, better="higher"),
    Column("n", "n", priority=2),
)
_REMARK = (
    "share of all n samples that are classified as their label: as they are, and after the worst change of colours "
    "that the search found, one for each image, the same for all of its pixels; the judge makes it again from its "
    "numbers; [95 % Wilson interval]"
)


@tables.register("recolor", "Accuracy under changes of brightness, contrast, saturation and hue.")
def recolor(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(_row(one, notes) for one in evaluations(results) if one.attack == "recolor" and not one.targeted)
    lines = (_REMARK, *notes.lines(results)) if rows else ("no cell of these results changes colours, untargeted",)
    return Table("recolor", "Accuracy under other colours", COLUMNS, rows, lines, notes.shown())


def _row(one: Evaluation, notes: Footnotes) -> Row:
    head = {"dataset": label(one.dataset), "model": notes.name(one.title, one), "limits": label(one.limits)}
    draws, steps = one.params["draws"], one.params["steps"]
    head["search"] = label(f"{draws} draws" + (f", then {steps} steps" if steps else ""))
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"], "label")}, MISSING)
    saved = np.asarray(one["clean_correct"] & ~one["success_8bit"], np.bool_)
    return head | {
        "natural": _share(one["clean_correct"]),
        "left": _share(one.correct),
        "saved": _share(saved),
        "n": count(len(one)),
    }


def _share(hits: Flags) -> Value:
    return share(wilson(int(hits.sum()), len(hits)))
