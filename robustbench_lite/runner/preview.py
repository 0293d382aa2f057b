"""`plan`: the cells of a suite as a table, what is in the store, and about how long the rest takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.lazy import torch
from robustbench_lite.results.evaluation import through
from robustbench_lite.results.made import MADE
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.executors.jobs import shares
from robustbench_lite.runner.executors.pool import threads
from robustbench_lite.runner.executors.schedule import finish
from robustbench_lite.runner.made import MadeCell
from robustbench_lite.runner.making import made_cells
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import Cell, plan
from robustbench_lite.runner.resume import settled
from robustbench_lite.runner.run import Options, device_named
from robustbench_lite.suite.builder import Suite
from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.text import duration, plural

__all__ = ["preview"]

_START = 3.0  # seconds until a worker has imported PyTorch and read the suite

COLUMNS = (
    Column("cell", "cell", numeric=False, priority=3),
    Column("dataset", "dataset", numeric=False),
    Column("n", "n", priority=2),
    Column("source", "classifier", numeric=False),
    Column("attack", "attack", numeric=False),
    Column("passes", "passes", priority=3),
    Column("seconds", "estimate", "s"),
    Column("state", "state", numeric=False),
)


def preview(suite: Suite, options: Options, clock: Callable[[], float] = time.perf_counter) -> Table:
    """The plan with an estimate: as cells took that are in the store, else as many passes as are typical, timed now."""
    assets = Assets(suite, device_named(options.device), options.batch_size, options.limit)
    folder = options.results / suite.name
    cells = plan(suite, assets)
    finished = Store(folder).standing() if folder.is_dir() else {}
    stored, pace = settled(cells, finished), Pace(assets, finished.values(), clock)
    others, store = made_cells(suite, options.limit), Store(folder)
    made = {cell: own[0] for kind in MADE for cell, own in store.made(kind).items()}
    rows = tuple(_row(cell, pace, stored=cell.id in stored) for cell in cells)
    code = [model.title for model in suite.models if model.runs_code or model.stand_in]
    code += [entry.variant for entry in suite.attacks if entry.attack.source]
    notes = [
        "passes: forwards and backwards per sample, or image to fit on: of finished cells, else typical; estimate: at "
        "the pace of finished cells on this machine, else of one window that was timed just now"
    ]
    due = [cell for cell, row in zip(cells, rows, strict=True) if row["state"].text == "to run"]
    notes += [f"expected wall time: {_walls(due, pace, _loading(finished.values()))}"] if due else []
    kinds = dict.fromkeys(MADE[cell.kind].word for cell in others)
    notes += [f"{word}: how long it takes is known once it has been done" for word in kinds]
    notes += [f"runs code of yours: {', '.join(code)}"] if code else []
    rows = (*rows, *(_made(cell, made.get(cell.id)) for cell in others))
    left = [row["seconds"].value for row in rows if row["state"].text == "to run"]
    failing = sum(row["state"].text.startswith("fails") for row in rows)
    about = f", about {sum(value or 0 for value in left):.0f} s to run" if any(left) else ""
    about += f", {failing} fail" if failing else "" if left else ", all in the store"
    return Table("plan", f"{suite.name}: {plural(len(rows), 'cell')}{about}", COLUMNS, rows, tuple(notes))


def _walls(due: Sequence[Cell], pace: Pace, loading: Mapping[str, float]) -> str:
    """What one process takes, and so many workers: of the cores of this machine, or one on each of its GPUs."""
    gpus = torch.cuda.device_count() if pace.assets.device.type == "cuda" else 0
    counts = {gpus} if gpus else {2, os.cpu_count() or 1}
    alone = sum(pace.seconds(cell) for cell in due) + sum(loading.get(name, 0.0) for name in _names(due))
    parts = [f"1 process {duration(alone)}"]
    for jobs in sorted(counts - {1}):
        slower = pace.slower(due[0], threads(jobs))
        work = [replace(job, seconds=job.seconds * slower) for job in shares(due, pace, jobs)]
        parts.append(f"--jobs {jobs} {duration(finish(work, jobs, lambda name: loading.get(name, 0.0), _START))}")
    return ", ".join(parts)


def _names(cells: Sequence[Cell]) -> set[str]:
    return {name for cell in cells for name in (*cell.sources, *cell.targets)}


def _loading(finished: Iterable[Any]) -> dict[str, float]:
    """Seconds that it took to load and inspect each classifier, as far as a cell of it alone says so."""
    seconds = dict[str, float]()
    for row in finished:
        if len(row["models"]) == 1:
            name = row["models"][0]
            seconds[name] = max(seconds.get(name, 0.0), row["seconds_inspect"] or 0.0)
    return seconds


def _row(cell: Cell, pace: Pace, *, stored: bool) -> Row:
    error, estimate = cell.error, None
    if not error and not stored:
        try:
            estimate = pace.seconds(cell)
        except RobustbenchError as problem:
            error = str(problem)
    state = f"fails: {error}" if error else "in the store" if stored else "to run"
    passes = pace.passes(cell)
    source = through({"sources": list(cell.sources), "models": list(cell.targets)})
    names = {"cell": cell.id, "dataset": cell.dataset, "source": source, "attack": cell.variant, "state": state}
    return {key: Value(name, kind="label") for key, name in names.items()} | {
        "n": Value(str(cell.n), cell.n),
        "passes": Value(f"{round(passes, 1):g}", passes),
        "seconds": Value("—", kind="missing") if estimate is None else Value(f"{estimate:.1f}", estimate),
    }


def _made(cell: MadeCell, made: Mapping[str, Any] | None) -> Row:
    """One that attacks nothing; `made` is its own row, where it is in the store."""
    state = f"fails: {cell.error}" if cell.error else "in the store" if made is not None else "to run"
    names = {"cell": cell.id, "dataset": cell.dataset, "source": cell.what, "attack": cell.name, "state": state}
    taken = None if made is None else made["seconds"]
    return {key: Value(name, kind="label") for key, name in names.items()} | {
        "n": Value(str(cell.n), cell.n),
        "passes": Value("—", kind="missing"),
        "seconds": Value("—", kind="missing") if taken is None else Value(f"{taken:.1f}", taken),
    }
