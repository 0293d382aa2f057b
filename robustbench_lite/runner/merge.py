"""Results folders of one suite become one: their cells, and the shards of those that several runs have a part in."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.errors import StoreError
from robustbench_lite.results.made import MADE
from robustbench_lite.results.sealed import parsed
from robustbench_lite.results.shards import gaps
from robustbench_lite.results.store import Store
from robustbench_lite.runner.conclude import joined

__all__ = ["Merged", "merge"]


@dataclass(frozen=True)
class Merged:
    """What is in the folder now: how many cells of how many, and of each that is missing a line that says what is."""

    whole: int
    planned: int
    missing: tuple[str, ...]


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Put what is in `folders` into `out`, which may hold results of the same suite already; they stay as they are.

    Raises StoreError where one is no results folder, or is of another suite, selection or version of a classifier.
    """
    there = [out] if (out / "run.json").exists() else []
    runs = {folder: _run(folder) for folder in [*folders, *there]}
    first = runs[folders[0]]
    for folder, run in runs.items():
        if _cells(run) != _cells(first):
            what = "another suite, selection of data or classifier"
            raise StoreError(f"{folder}: its cells are not those of {folders[0]}: it is of {what}")
    into = Store(out)
    with into.lock():
        for folder in folders:
            _add(Store(folder), into)
        for cell in sorted(into.sharded()):
            _join(into, cell)
        missing = (*_missing(into, first["planned"]), *_unmade(into, first))
        ended = max(str(run["finished"] or run["started"]) for run in runs.values())
        into.write_run(first | {"finished": None if missing else ended})
    return Merged(len(_cells(first)) - len(missing), len(_cells(first)), missing)


def _run(folder: Path) -> dict[str, Any]:
    try:
        run = parsed(folder / "run.json")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{folder}: expected the results folder of a run, with its run.json ({reason})") from None
    if not _cells(run) or len(run.get("planned") or ()) != len(run.get("cells") or ()):
        raise StoreError(f"{folder}: expected results of a run, run.json names no cells")
    return run


def _cells(run: dict[str, Any]) -> list[str]:
    """Ids of all that a run plans, those that attack nothing last."""
    return [cell for key in ("cells", *(kind.planned for kind in MADE.values())) for cell in run.get(key) or ()]


def _add(source: Store, into: Store) -> None:
    """Cells that are not there yet, or have failed there and not here; and the shards of those that are not whole."""
    better = source.finished() - into.finished()
    for cell in better.union(source.cells()) - (set(into.cells()) - better):
        into.copy(cell, source)
    for key, kind in MADE.items():
        for cell in source.made(key).keys() - into.made(key).keys():
            into.copy(cell, source, kind.parts)
    for cell in source.sharded():
        if not into.has_finished(cell):
            shutil.copytree(source.shards(cell).folder, into.shards(cell).folder, dirs_exist_ok=True)


def _join(store: Store, cell: str) -> None:
    """Write a cell of which all shards are there."""
    if store.has_finished(cell):
        store.shards(cell).drop()
    elif (whole := joined(store.shards(cell))) is not None:
        store.write(cell, whole.samples, whole.row, whole.images, whole.artifacts)
        store.shards(cell).drop()


def _unmade(store: Store, run: dict[str, Any]) -> Iterator[str]:
    for key, kind in MADE.items():
        there = store.made(key)
        for cell, name in zip(run.get(kind.planned) or (), run.get(key) or (), strict=True):
            if cell not in there:
                yield f"{kind.word} {name}: is missing, or has failed"


def _missing(store: Store, planned: Iterable[dict[str, Any]]) -> Iterator[str]:
    for facts in planned:
        cell = facts["cell"]
        if store.has(cell):
            continue
        done = store.shards(cell).stored()
        left = gaps(done, done[0].facts["cell"]["n"]) if done else []
        parts = ", ".join(f"{start + 1} to {stop}" for start, stop in left)
        what = f"samples {parts} are missing" if left else "was made under other names" if done else "is missing"
        yield f"{facts['dataset']} · {facts['source']} · {facts['variant']}: {what}"
