"""Table 5 of the graffiti paper (Eykholt et al., 1707.08945): what an object is taken for in each pose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.photographs import HEAD, Shot, heading, photographs, seen, shares, where
from robustbench_lite.tables.values import MISSING, Footnotes, label

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
    rows = [row for one, shots in photographs(results, frames=False) for row in _rows(results, one, shots, notes)]
    remarks = [_REMARK]
    if not rows:
        remarks = ["no cell of these results is about photographs of an object with known distances and angles"]
    elif results.run.get("reference") == _PAPER:
        paper = references.load(_PAPER)
        rows += _published(paper)
        remarks.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    footnotes = (*remarks, *notes.lines(results))
    return Table("pose", "Objects at distances and angles", COLUMNS, tuple(rows), footnotes, notes.shown())


def _rows(results: Results, one: Evaluation, shots: list[Shot], notes: Footnotes) -> Iterator[Row]:
    """A row per pose, and one for all."""
    head, blank = heading(one), label("")
    if not one.ok:
        yield filled(COLUMNS, head | {"pose": notes.name("all", one)}, MISSING)
        return
    for shot in shots:
        reached = label("reached" if shot.row["success"] else "")
        known = head | {"pose": where(shot), "reached": reached} | seen(results, one, shot)
        yield filled(COLUMNS, known, blank)
    yield filled(COLUMNS, head | {"pose": notes.name(f"all {len(shots)}", one)} | shares(shots), blank)


def _published(paper: references.Reference) -> Iterator[Row]:
    """What the paper saw of its camouflage art on a real stop sign."""
    blank, won = label(""), 0
    head = {"dataset": label("a real stop sign"), "model": label("GTSRB-CNN"), "attack": label("camouflage art")}

    def says(text: str, number: float | None = None) -> Value:
        return Value(text, number, kind="published", note=paper.source)

    for row in paper.rows:
        distance, angle = str(row["pose"]).split("ft ")
        reached = row["top2"][0][0] == _TARGET
        won += reached
        known = head | {
            "pose": label(f"{distance} ft, {angle}\u00b0"),
            "reached": label("reached" if reached else ""),
        }
        for key, (name, p) in zip(("top", "second"), row["top2"], strict=True):
            known |= {key: says(name), f"{key}_confidence": says(f"{p:g}", p)}
        yield filled(COLUMNS, known, blank)
    share = 100 * won / len(paper.rows)
    whole = {"pose": label(f"all {len(paper.rows)}"), "success": says(f"{share:.0f}", share)}
    yield filled(COLUMNS, head | whole, blank)
