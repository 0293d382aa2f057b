"""Clean and robust accuracy per classifier and attack, with Wilson intervals over all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.statistics import rates
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share

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
    "successes that survive rounding to 8 bits; card: the accuracy that the classifier's card states for these data; "
    "[95 % Wilson interval]"
)


@tables.register("accuracy", "Clean and robust accuracy per classifier and attack, with Wilson intervals.")
def accuracy(results: Results) -> Table:
    notes = Footnotes()
    found = groups(results)
    cards = {(g.cell["dataset"], g.model): g.cell["card_accuracy"] for g in found if g.cell["card_accuracy"]}
    rows = tuple(_row(group, cards.get((group.cell["dataset"], group.model)), notes) for group in found)
    return Table(
        "accuracy",
        "Accuracy before and after the attacks",
        COLUMNS,
        rows,
        (_REMARK, *notes.lines(results)),
        notes.shown(),
    )


def _row(group: Group, card: float | None, notes: Footnotes) -> tuple[Value, ...]:
    cell = group.cell
    stated = label("") if card is None else number(100 * card)
    head = (label(group.title), label(cell["dataset"]), stated, notes.name(str(cell["variant"]), group))
    if not group.ok:
        return (*head, *[MISSING] * 5, count(cell["n"], "label"))
    found = rates(*(group[name] for name in ("label", "clean_correct", "adv_pred", "success", "success_8bit")))
    return (
        *head,
        share(found.clean),
        share(found.robust),
        share(found.success_correct, interval=False),
        share(found.success_all, interval=False),
        share(found.survival, interval=False),
        count(found.clean.n),
    )
