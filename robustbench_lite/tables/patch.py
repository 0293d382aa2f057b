"""Brown et al.: how often one patch that is stuck anywhere makes a classifier err, beside one of random colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["patch"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("target", "taken for", numeric=False, group=True),
    Column("area", "covers at most", "%"),
    Column("source", "made for", numeric=False),
    Column("model", "tested on", numeric=False),
    Column("success", "patch", "% of correct", interval=True, better="higher"),
    Column("saved", "in 8 bits", "% of correct", interval=True, priority=3),
    Column("control", "random colours", "% of correct", interval=True),
    Column("fit_n", "fitted on", priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "patch: of the images that the classifier got right, none of which the patch was fitted on, those that it then "
    "takes for the class, or errs on where none is named; each with the patch at a random place, angle and size, and "
    "the judge checks that nothing else has changed; random colours: a patch of these at the same places; "
    "[95 % Wilson interval]"
)


@tables.register("patch", "Brown et al.: success of one patch that is stuck anywhere, by its size.")
def patch(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(
        _row(one, class_names(results, one.dataset), notes)
        for one in evaluations(results)
        if one.attack == "adversarial_patch"
    )
    lines = (_REMARK, *notes.lines(results)) if rows else ("no cell of these results is an adversarial patch",)
    return Table("patch", "One patch for all images", COLUMNS, rows, lines, notes.shown())


def _row(one: Evaluation, names: list[str], notes: Footnotes) -> Row:
    target = one.params["target"]
    head = {
        "dataset": label(one.dataset),
        "target": label("any other class" if target is None else _called(target, names)),
        "area": number(100 * one.params["area"]),
        "source": label(one.cell["source"]),
        "model": notes.name(one.model, one),
        "fit_n": count(one.cell["fit_n"]),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"], "label")}, MISSING)
    control = one["control_pred"].astype(np.int64)
    hit = control != one["label"] if target is None else control == target
    return head | {
        "success": _share(one, one.success),
        "saved": _share(one, np.asarray(one["success_8bit"], np.bool_)),
        "control": _share(one, np.asarray(hit, np.bool_)),
        "n": count(len(one)),
    }


def _called(target: int, names: list[str]) -> str:
    return names[target] if target < len(names) else f"class {target}"


def _share(one: Evaluation, won: Flags) -> Value:
    """Of the samples that were right at first."""
    right = one["clean_correct"]
    return share(wilson(int((won & right).sum()), int(right.sum())))
