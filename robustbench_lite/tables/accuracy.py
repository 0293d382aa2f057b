"""Clean and robust accuracy per classifier and attack, with Wilson intervals over all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.tables.base import Column, Row, Table, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["accuracy"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("card", "card", "%", group=True),
    Column("attack", "attack", numeric=False),
    Column("clean", "clean", "%", interval=True, priority=2),
    Column("robust", "robust", "%", interval=True, better="lower"),
    Column("success_correct", "success", "% of correct", interval=True, priority=2, better="higher"),
    Column("success_all", "success", "% of all", interval=True, priority=3, better="higher"),
    Column("survival", "in 8 bits", "% of those", interval=True, priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "clean, robust: accuracy before the attack, and share that is correct before and after it, of all n samples; "
    "success: the attack's own goal is reached, of the initially correct and of all samples; in 8 bits: share of the "
    "successes that survive rounding to 8 bits; "
)
_CARD = "card: the accuracy that the classifier's card states for these data; "
_INTERVAL = "[95 % Wilson interval]"


@tables.register("accuracy", "Clean and robust accuracy per classifier and attack, with Wilson intervals.")
def accuracy(results: Results) -> Table:
    notes, every = Footnotes(), evaluations(results)
    cards = {(one.dataset, one.model): one.cell["card_accuracy"] for one in every if one.cell["card_accuracy"]}
    rows = tuple(_row(one, cards.get((one.dataset, one.model)), notes) for one in every)
    title, remark = "Accuracy before and after the attacks", f"{_REMARK}{_CARD if cards else ''}{_INTERVAL}"
    return Table("accuracy", title, COLUMNS, rows, (remark, *notes.lines(results)), notes.shown())


def _row(one: Evaluation, card: float | None, notes: Footnotes) -> Row:
    head = {
        "model": label(one.title),
        "dataset": label(one.dataset),
        "card": label("") if card is None else number(100 * card),
        "attack": notes.name(one.variant, one),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"], "label")}, MISSING)
    clean, every = one["clean_correct"], np.ones(len(one), np.bool_)
    return head | {
        "clean": share(_rate(clean, every)),
        "robust": share(_rate(one.robust, every)),
        "success_correct": share(_rate(one.success, clean), interval=False),
        "success_all": share(_rate(one.success, every), interval=False),
        "survival": share(_rate(one["success_8bit"], one.success), interval=False),
        "n": count(len(one)),
    }


def _rate(hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> Estimate:
    """The share of hits among some of the samples, (n,) flags both."""
    return wilson(int((hits & among).sum()), int(among.sum()))
