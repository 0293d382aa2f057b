"""Table 5 of the graffiti paper (Eykholt et al., 1707.08945): what an object is taken for in each pose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Group
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, label
from robustbench_lite.tables.pose_common import HEAD, Shot, heading, photographs, seen, shares, where

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["pose"]

COLUMNS = (
    *HEAD,
    Column("pose", "pose", numeric=False),
    Column("clean", "clean", numeric=False, priority=2),
    Column("clean_confidence", "confidence", priority=3),
    Column("top", "first class", numeric=False),
    Column("top_confidence", "confidence"),
    Column("second", "second class", numeric=False, priority=3),
    Column("second_confidence", "confidence", priority=3),
    Column("reached", "goal", numeric=False),
    Column("right", "right before", "%", interval=True),
    Column("success", "success", "%", interval=True),
    Column("lost", "not the label", "%", interval=True, priority=2),
)
_PAPER, _TARGET = "rp2-t3", "Speed Limit 80"
_REMARK = (
    "clean: the object as it is; first and second class: of the attacked one; goal: whether the judge says that the "
    "attack's goal is reached; right before, success, not the label: shares of all poses, [95 % Wilson interval]"
)


@tables.register("pose", "Eykholt et al.'s Table 5: what an object is taken for at each distance and angle.")
def pose(results: Results) -> Table:
    notes = Footnotes()
    rows = [row for group, shots in photographs(results, frames=False) for row in _rows(results, group, shots, notes)]
    remarks = [_REMARK]
    if not rows:
        remarks = ["no cell of these results is about photographs of an object with known distances and angles"]
    elif results.run.get("reference") == _PAPER:
        paper = references.load(_PAPER)
        rows += _published(paper)
        remarks.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    return Table(
        "pose",
        "Objects at distances and angles",
        COLUMNS,
        tuple(rows),
        (*remarks, *notes.lines(results)),
        notes.shown(),
    )


def _rows(results: Results, group: Group, shots: list[Shot], notes: Footnotes) -> Iterator[tuple[Value, ...]]:
    """A row per pose, and one for all."""
    head, blank = heading(group), label("")
    if not group.ok:
        yield (*head, notes.name("all", group), *[MISSING] * 10)
        return
    for shot in shots:
        reached = label("reached" if shot.row["success"] else "")
        yield (*head, where(shot), *seen(results, group, shot), reached, *[blank] * 3)
    yield (*head, notes.name(f"all {len(shots)}", group), *[blank] * 7, *shares(shots))


def _published(paper: references.Reference) -> Iterator[tuple[Value, ...]]:
    """What the paper saw of its camouflage art on a real stop sign."""
    blank, won = label(""), 0
    head = (label("a real stop sign"), label("GTSRB-CNN"), label("camouflage art"))

    def says(text: str, number: float | None = None) -> Value:
        return Value(text, number, kind="published", note=paper.source)

    for row in paper.rows:
        distance, angle = str(row["pose"]).split("ft ")
        won += row["top2"][0][0] == _TARGET
        found = [value for name, p in row["top2"] for value in (says(name), says(f"{p:g}", p))]
        reached = label("reached" if row["top2"][0][0] == _TARGET else "")
        yield (*head, label(f"{distance} ft, {angle}\u00b0"), blank, blank, *found, reached, *[blank] * 3)
    share = 100 * won / len(paper.rows)
    yield (*head, label(f"all {len(paper.rows)}"), *[blank] * 8, says(f"{share:.0f}", share), blank)
