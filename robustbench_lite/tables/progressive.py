"""Progressive growing against training at full resolution, on the way: images seen, SWD, MS-SSIM, seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from robustbench_lite.tables._generators import NOTHING, Cell, cells, levels, outcome, seconds
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.references import load
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number
from robustbench_lite.text import significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from robustbench_lite.results.store import Results

__all__ = ["progressive"]

_TEXT = "progan-text"
_REMARK = (
    "a row for each look on the way, the last row with all scores at n images; SWD: sliced Wasserstein distance of 7 x "
    "7 patches times 1000, mean over resolutions and at each of them; on the way of 256 images, which makes it larger "
    "than at the end; speed: how many times fewer seconds than the slowest generator at the same number of images"
)


@tables.register("progressive", "Progressive growing against full resolution: images seen, SWD, MS-SSIM, seconds.")
def progressive(results: Results) -> Table:
    notes, found = Footnotes(), [cell for cell in cells(results) if len(cell["size"]) == 3]
    sides = sorted({side for cell in found for side in levels(cell)})
    columns = (
        Column("name", "generator", numeric=False, group=True),
        Column("outcome", "outcome", numeric=False, group=True),
        Column("images", "images seen", "k"),
        Column("side", "side", "px"),
        Column("seconds", "training", "s", better="lower"),
        Column("speed", "speed", "x"),
        Column("score", "score", priority=2, better="higher"),
        Column("swd", "SWD", "x1e3", better="lower"),
        *(Column(f"swd_{side}", f"SWD {side} px", "x1e3", priority=3) for side in sides),
        Column("ms_ssim", "MS-SSIM", priority=2),
        Column("n", "n", priority=3),
    )
    on_the_way = {cell["cell"]: _looks(results, cell) for cell in found}
    slowest = _slowest([*on_the_way.values(), [_last(cell) for cell in found if cell["seconds"] is not None]])
    rows: list[Row] = []
    for cell in found:
        heading = {"name": label(cell["name"]), "outcome": outcome(cell, notes)}
        rows += [filled(columns, heading | _look(look, slowest), MISSING) for look in on_the_way[cell["cell"]]]
        rows.append(filled(columns, heading | _end(cell, slowest), MISSING))
    remarks = (_REMARK, *_reached(results, found), *_paper(found)) if found else (NOTHING,)
    title = "Progressive growing against training at full resolution"
    return Table("progressive", title, columns, tuple(rows), (*remarks, *notes.lines(results)))


def _looks(results: Results, cell: Cell, *, last: bool = False) -> list[Cell]:
    """Rows of a training at which its images were looked at; but for the end, where more of them are judged."""
    rows = results.training(cell["cell"]).to_pylist()
    end = (cell["steps"] or 0) + last
    return [row for row in rows if 0 < row["step"] < end and row["swd"] is not None and math.isfinite(row["swd"])]


def _last(cell: Cell) -> Cell:
    return {"images": cell["images_seen"], "seconds": cell["seconds"]}


def _reached(results: Results, found: Sequence[Cell]) -> Iterator[str]:
    """When each was first as good as the poorest of them is in the end, by looks at a few images."""
    looks = {cell["name"]: _looks(results, cell, last=True) for cell in found}
    ends = [rows[-1]["swd"] for rows in looks.values() if rows]
    if len(ends) > 1:
        goal = max(ends)
        times = {
            name: next(row["seconds"] for row in rows if row["swd"] <= goal) for name, rows in looks.items() if rows
        }
        said = ", ".join(f"{name} {significant(seconds, 3)} s" for name, seconds in times.items())
        yield f"an SWD of {significant(goal, 3)}, where the poorest of them ends, is reached after: {said}"


def _slowest(looks: Iterable[Sequence[Cell]]) -> dict[int, float]:
    """The most seconds that anything took for so many images."""
    most: dict[int, float] = {}
    for rows in looks:
        for row in rows:
            most[row["images"]] = max(most.get(row["images"], 0.0), row["seconds"])
    return most


def _look(row: Cell, slowest: dict[int, float]) -> dict[str, Value]:
    most = slowest.get(row["images"])
    return {
        "images": number(row["images"] / 1000),
        "side": count(row["side"]),
        "seconds": number(row["seconds"]),
        "speed": number(most / row["seconds"] if most and row["seconds"] else None, 2, "derived"),
        "score": number(row["score"]),
        "swd": number(row["swd"]),
        "n": count(256),
    }


def _end(cell: Cell, slowest: dict[int, float]) -> dict[str, Value]:
    most, seen = slowest.get(cell["images_seen"] or 0), cell["images_seen"]
    return {
        "images": number(None if seen is None else seen / 1000),
        "side": count(cell["size"][-1]),
        "seconds": seconds(cell),
        "speed": number(most / cell["seconds"] if most and cell["seconds"] else None, 2, "derived"),
        "score": number(cell["classifier_score"]),
        "swd": number(cell["swd"]),
        **{f"swd_{side}": number(value) for side, value in levels(cell).items()},
        "ms_ssim": number(cell["ms_ssim"]),
        "n": count(cell["n"]),
    }


def _paper(found: Sequence[Cell]) -> tuple[str, ...]:
    known = load(_TEXT)
    row = known.row(what="speed-up")
    if row is None or not known.shown or not any(cell["architecture"] == "progressive" for cell in found):
        return ()
    return (f"published: {row['value']} times as fast at 1024 x 1024 ({known.source}); no protocol of ours",)
