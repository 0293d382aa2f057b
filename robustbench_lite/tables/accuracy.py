"""Clean and robust accuracy per classifier and attack, with Wilson intervals over all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.measure import wilson
from robustbench_lite.table import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, Group, groups, label, share

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["accuracy"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False),
    Column("model", "classifier", numeric=False),
    Column("attack", "attack", numeric=False),
    Column("clean", "clean", "%"),
    Column("robust", "robust", "%"),
    Column("success_correct", "broken, of correct", "%"),
    Column("success_all", "success, of all", "%"),
    Column("success_8bit", "in 8 bits", "%"),
    Column("n", "n"),
)


@tables.register("accuracy", "Clean and robust accuracy per classifier and attack, with Wilson intervals.")
def accuracy(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(_row(group, notes) for group in groups(results))
    title = "Accuracy on clean and on attacked images, % [95 % interval]"
    remark = (
        "robust: correct, and still so after the attack, over all samples; broken: of the initially correct; "
        "success: the attack's own goal, over all samples; in 8 bits: successes that survive rounding, over all samples"
    )
    return Table("accuracy", title, COLUMNS, rows, (remark, *notes.lines()))


def _row(group: Group, notes: Footnotes) -> tuple[Value, ...]:
    cell = group.cell
    head = (label(cell["dataset"]), label(cell["source"]), label(cell["variant"] + notes.of(cell)))
    if not group.ok:
        return (*head, *[MISSING] * 5, Value(str(cell["n"]), cell["n"]))
    n, correct = len(group["label"]), group["clean_correct"].astype(bool)
    broken = correct & (group["adv_pred"] != group["label"])
    success, survives = group["success"].astype(bool), group["success_8bit"].astype(bool)
    return (
        *head,
        share(wilson(int(correct.sum()), n)),
        share(wilson(int((correct & ~broken).sum()), n)),
        share(wilson(int(broken.sum()), int(correct.sum())), interval=False),
        share(wilson(int(success.sum()), n), interval=False),
        share(wilson(int((success & survives).sum()), n), interval=False),
        Value(str(n), n),
    )
