"""Table 5 of the graffiti paper (Eykholt et al., 1707.08945): what an object is taken for in each pose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustbench_lite import references
from robustbench_lite.groups import Group
from robustbench_lite.table import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, label
from robustbench_lite.tables.pose_common import HEAD, Shot, heading, photographs, seen, shares, where

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["pose"]

COLUMNS = (
    *HEAD,
    Column("pose", "pose", numeric=False),
    Column("clean", "clean", numeric=False),
    Column("clean_confidence", "confidence"),
    Column("top", "first class", numeric=False),
    Column("top_confidence", "confidence"),
    Column("second", "second class", numeric=False),
    Column("second_confidence", "confidence"),
    Column("reached", "goal", numeric=False),
    Column("right", "right before", "%", interval=True),
    Column("success", "success", "%", interval=True),
    Column("lost", "not the label", "%", interval=True),
    Column("published", "paper", numeric=False),
)
_PAPER = "rp2-t3"
_REMARK = (
    "clean: the object as it is; first and second class: of the attacked one; goal: whether the judge says that the "
    "attack's goal is reached; success, not the label: shares of all poses, [95 % Wilson interval]"
)


@tables.register("pose", "Eykholt et al.'s Table 5: what an object is taken for at each distance and angle.")
def pose(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(
        row for group, shots in photographs(results, frames=False) for row in _rows(results, group, shots, notes)
    )
    remarks = [_REMARK]
    if any(row[-1].kind == "published" for row in rows):
        paper = references.load(_PAPER)
        remarks.append(f"paper: {paper.source}, first class and confidence; {paper.protocol}, {paper.quantity}")
    if not rows:
        remarks = ["no cell of these results is about photographs of an object with known distances and angles"]
    return Table("pose", "Objects at distances and angles", COLUMNS, rows, (*remarks, *notes.lines(results)))


def _rows(results: Results, group: Group, shots: list[Shot], notes: Footnotes) -> Iterator[tuple[Value, ...]]:
    """A row per pose, and one for all."""
    head, blank = heading(group), label("")
    if not group.ok:
        yield (*head, notes.name("all", group), *[MISSING] * 10, blank)
        return
    published = _published(results, group)
    for shot in shots:
        reached = label("reached" if shot.row["success"] else "")
        theirs = published.get(str(where(shot).text), blank)
        yield (*head, where(shot), *seen(results, group, shot), reached, *[blank] * 3, theirs)
    total = published.get("all", blank)
    yield (*head, notes.name(f"all {len(shots)}", group), *[blank] * 7, *shares(shots), total)


def _published(results: Results, group: Group) -> dict[str, Value]:
    """What the paper saw at each pose, by the pose's name, beside an attack that the suite compares with it."""
    wanted = results.run.get("reference") == _PAPER and group.cell["goal"] == "target"
    if not wanted or not references.load(_PAPER).shown or '"control":true' in (group.cell["params"] or ""):
        return {}
    paper, out, won = references.load(_PAPER), {}, 0
    for row in paper.rows:
        distance, angle = str(row["pose"]).split("ft ")
        name, confidence = row["top2"][0]
        won += name == "Speed Limit 80"
        out[f"{distance} ft, {angle}\u00b0"] = Value(
            f"{name} {confidence:g}", confidence, kind="published", note=paper.source
        )
    share = won / len(paper.rows)
    return out | {"all": Value(f"success {100 * share:.0f} %", 100 * share, kind="published", note=paper.source)}
