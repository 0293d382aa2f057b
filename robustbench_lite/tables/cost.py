"""What attacks cost: passes and time per sample, and how far from the limit that the passes set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.table import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, Group, groups, label, number

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["cost"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False),
    Column("model", "classifier", numeric=False),
    Column("attack", "attack", numeric=False),
    Column("forwards", "forwards"),
    Column("backwards", "backwards"),
    Column("ms", "in a batch", "ms"),
    Column("ms_alone", "alone", "ms"),
    Column("overhead", "overhead", "%"),
    Column("batch", "batch"),
    Column("zero_gradient", "zero gradients"),
    Column("near_ties", "near ties"),
    Column("n", "n"),
)


@tables.register("cost", "Forward and backward passes, milliseconds per sample, overhead over the passes.")
def cost(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(_row(group, notes) for group in groups(results))
    devices = sorted({str(row["device"]) for row in results.cell_table.to_pylist()})
    remark = (
        "passes and time per sample; overhead: wall time of the attack beyond the time inside its own forward and "
        f"backward passes; device: {', '.join(devices)}"
    )
    return Table("cost", "What the attacks cost", COLUMNS, rows, (remark, *notes.lines()))


def _row(group: Group, notes: Footnotes) -> tuple[Value, ...]:
    cell = group.cell
    head = (label(cell["dataset"]), label(cell["source"]), label(cell["variant"] + notes.of(cell)))
    if not group.ok:
        return (*head, *[MISSING] * 8, Value(str(cell["n"]), cell["n"]))
    n = cell["n"]
    inside = cell["seconds_forward"] + cell["seconds_backward"]
    overhead = 100 * (cell["seconds"] / inside - 1) if inside else None
    return (
        *head,
        number(cell["forwards"] / n),
        number(cell["backwards"] / n),
        number(1000 * cell["seconds"] / n),
        number(1000 * cell["seconds_alone"] if cell["seconds_alone"] is not None else None),
        number(overhead, 2),
        Value(str(cell["batch_size"]), cell["batch_size"]),
        number(int(group["zero_gradient"].sum()), 6),
        number(cell["near_ties"], 6),
        Value(str(n), n),
    )
