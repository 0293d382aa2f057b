"""What tables of objects in poses share: the photographs of a cell in order, what they were taken for, shares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.schema import Row
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Value
from robustbench_lite.tables.common import label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["HEAD", "Shot", "heading", "named", "photographs", "seen", "shares", "where"]

HEAD = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("attack", "attack", numeric=False, group=True),
)


@dataclass(frozen=True)
class Shot:
    """One photograph: where it was taken from, and its row."""

    place: dict[str, Any]
    row: Row


def photographs(results: Results, *, frames: bool) -> Iterator[tuple[Group, list[Shot]]]:
    """Every cell on photographs of an object, with those of a drive (in order), or the others (by distance, angle)."""
    for group in groups(results):
        found = [Shot(json.loads(row["transform"]), row) for row in group.rows.to_pylist() if row["transform"]]
        found = [shot for shot in found if "distance" in shot.place and ("frame" in shot.place) == frames]
        found.sort(key=lambda shot: [shot.place.get(key, 0) for key in ("frame", "distance", "angle")])
        if found:
            yield group, found


def heading(group: Group) -> tuple[Value, ...]:
    return label(group.cell["dataset"]), label(group.title), label(group.cell["variant"])


def where(shot: Shot) -> Value:
    """Distance and angle as the paper writes them."""
    return label(f"{shot.place['distance']:g} ft, {shot.place['angle']:g}\u00b0")


def named(results: Results, group: Group, index: int | None) -> Value:
    """A class by its name."""
    names = (results.run.get("classes") or {}).get(str(group.cell["dataset"])) or []
    return label(None if index is None else names[index] if index < len(names) else index)


def seen(results: Results, group: Group, shot: Shot) -> tuple[Value, ...]:
    """Before; after, first and second class; each with its confidence."""
    pairs = (
        ("clean_pred", "clean_confidence"),
        ("adv_pred", "adv_confidence"),
        ("adv_second", "adv_second_confidence"),
    )
    return tuple(
        value
        for name, confidence in pairs
        for value in (named(results, group, shot.row[name]), number(shot.row[confidence], 2))
    )


def shares(shots: list[Shot]) -> tuple[Value, Value, Value]:
    """Right before, goal reached, not taken for what it is: shares of these photographs."""
    columns = (
        [shot.row["clean_correct"] for shot in shots],
        [shot.row["success"] for shot in shots],
        [shot.row["adv_pred"] != shot.row["label"] for shot in shots],
    )
    right, won, lost = (share(wilson(int(np.sum(column)), len(column))) for column in columns)
    return right, won, lost
