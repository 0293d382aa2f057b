"""The drive-by test of the graffiti paper (Eykholt et al., 1707.08945): frames of a drive towards an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.tables.base import Column, Row, Table, filled, tables
from robustbench_lite.tables.photographs import HEAD, Shot, heading, named, photographs, shares
from robustbench_lite.tables.values import MISSING, Footnotes, count, label

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["drive_by"]

COLUMNS = (
    *HEAD,
    Column("part", "part of the drive", numeric=False),
    Column("frames", "frames"),
    Column("right", "right before", "%", interval=True),
    Column("success", "success", "%", interval=True),
    Column("lost", "not the label", "%", interval=True, priority=2),
    Column("often", "most often taken for", numeric=False, priority=3),
)
_REMARK = (
    "every k-th frame of a simulated drive towards the object; right before: the object as it is; success: the "
    "attack's goal is reached; [95 % Wilson interval, as if frames were independent]; the paper reports 84.8 % of the "
    "frames of a real drive (LISA-CNN, abstract)"
)


@tables.register("drive_by", "Eykholt et al.'s drive-by test: success over the frames of a drive towards the object.")
def drive_by(results: Results) -> Table:
    notes = Footnotes()
    rows = tuple(row for one, shots in photographs(results, frames=True) for row in _rows(results, one, shots, notes))
    remark = _REMARK if rows else "no cell of these results has frames of a drive (`poses: approach` of `sign:`)"
    return Table("drive_by", "Driving towards an object", COLUMNS, rows, (remark, *notes.lines(results)), notes.shown())


def _rows(results: Results, one: Evaluation, shots: list[Shot], notes: Footnotes) -> Iterator[Row]:
    """The whole drive, then its far and its near half."""
    head = heading(one)
    if not one.ok:
        known = {"part": notes.name("all", one), "frames": count(len(shots) or None), "often": label("")}
        yield filled(COLUMNS, head | known, MISSING)
        return
    half = len(shots) // 2
    for name, part in (("all", shots), ("first half", shots[:half]), ("second half", shots[half:])):
        if part:
            far, near = (f"{shot.place['distance']:.0f}" for shot in (part[0], part[-1]))
            classes = [shot.row["adv_pred"] for shot in part]
            often = named(results, one, max(set(classes), key=lambda index: (classes.count(index), -index)))
            title = notes.name(f"{name}, {far} to {near} ft", one)
            yield head | {"part": title, "frames": count(len(part)), "often": often} | shares(part)
