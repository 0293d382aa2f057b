"""What tables of objects in poses share: the photographs of a cell in order, what they were taken for, shares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.results.schema import Row
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Value
from robustbench_lite.tables.values import label, number, share

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


def photographs(results: Results, *, frames: bool) -> Iterator[tuple[Evaluation, list[Shot]]]:
    """Every cell on photographs of an object, with those of a drive (in order), or the others (by distance, angle).

    A cell without rows, because it failed or has not run yet, has none of them.
    """
    shots = [(one, _shots(one, frames=frames)) for one in evaluations(results)]
    known = {one.dataset for one, own in shots if own}
    for one, own in shots:
        if own or (not len(one) and (one.dataset in known or _pictured(one, frames=frames))):
            yield one, own


def _shots(one: Evaluation, *, frames: bool) -> list[Shot]:
    every = [Shot(json.loads(row["transform"]), row) for row in one.rows.to_pylist() if row["transform"]]
    found = [shot for shot in every if "distance" in shot.place and ("frame" in shot.place) == frames]
    return sorted(found, key=lambda shot: [shot.place.get(key, 0) for key in ("frame", "distance", "angle")])


def _pictured(one: Evaluation, *, frames: bool) -> bool:
    """Whether the data are such photographs, by what is known of them before anything ran."""
    if "sign" in one.data:
        poses = one.data.get("poses") or ["stationary"]
        return any((pose == "approach") == frames for pose in ([poses] if isinstance(poses, str) else poses))
    return "photographs" in one.data and not frames


def heading(one: Evaluation) -> dict[str, Value]:
    return {"dataset": label(one.dataset), "model": label(one.title), "attack": label(one.variant)}


def where(shot: Shot) -> Value:
    """Distance and angle as the paper writes them."""
    return label(f"{shot.place['distance']:g} ft, {shot.place['angle']:g}\u00b0")


def named(results: Results, one: Evaluation, index: int | None) -> Value:
    """A class by its name."""
    names = class_names(results, one.dataset)
    return label(None if index is None else names[index] if index < len(names) else index)


def seen(results: Results, one: Evaluation, shot: Shot) -> dict[str, Value]:
    """Before; after, first and second class; each with its confidence."""
    columns = {"clean": "clean_pred", "top": "adv_pred", "second": "adv_second"}
    out = {}
    for key, name in columns.items():
        out[key] = named(results, one, shot.row[name])
        out[f"{key}_confidence"] = number(shot.row[f"{name.removesuffix('_pred')}_confidence"], 2)
    return out


def shares(shots: list[Shot]) -> dict[str, Value]:
    """Right before, goal reached, not taken for what it is: shares of these photographs."""
    columns = {
        "right": [shot.row["clean_correct"] for shot in shots],
        "success": [shot.row["success"] for shot in shots],
        "lost": [shot.row["adv_pred"] != shot.row["label"] for shot in shots],
    }
    return {key: share(wilson(int(np.sum(column)), len(column))) for key, column in columns.items()}
