"""`plan`: the cells of a suite as a table, what is in the store, and about how long the rest takes."""

from __future__ import annotations

import time

from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import ModelError, RobustbenchError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.results.evaluation import through
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Bench, shown
from robustbench_lite.runner.plan import Cell, plan, settled
from robustbench_lite.runner.run import Options, device_named
from robustbench_lite.suite.builder import Suite
from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.threat.goal import Goal

__all__ = ["preview"]

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


def preview(suite: Suite, options: Options) -> Table:
    """The plan with an estimate: the attack's usual number of passes, timed on one small batch of this classifier."""
    bench = Bench(suite, device_named(options.device), options.batch_size, options.limit)
    folder = options.results / suite.name
    cells = plan(suite, bench)
    stored = settled(cells, Store(folder).standing()) if folder.is_dir() else set()
    pace: dict[tuple[str, str], float] = {}
    rows = tuple(_row(cell, bench, pace, stored=cell.id in stored) for cell in cells)
    code = [model.title for model in suite.models if model.runs_code]
    code += [entry.variant for entry in suite.attacks if entry.attack.source]
    notes = [
        "passes: forwards and backwards per sample, or image to fit on, typically; estimate: at this device's pace"
    ]
    notes += [f"runs code of yours: {', '.join(code)}"] if code else []
    left = sum(row["seconds"].value or 0 for row in rows if row["state"].text == "to run")
    return Table("plan", f"{suite.name}: {len(rows)} cells, about {left:.0f} s to run", COLUMNS, rows, tuple(notes))


def _row(cell: Cell, bench: Bench, pace: dict[tuple[str, str], float], *, stored: bool) -> Row:
    error = cell.error
    for source in () if error or stored else cell.sources:
        try:
            if (cell.dataset, source) not in pace:
                with blamed(source, ModelError, "attack"), undisturbed():
                    pace[cell.dataset, source] = _seconds_per_pass(cell.dataset, source, bench)
        except RobustbenchError as problem:
            error = str(problem)
    state = f"fails: {error}" if error else "in the store" if stored else "to run"
    passes = cell.attack.typical_passes
    paces = [] if state != "to run" else [pace[cell.dataset, source] for source in cell.sources]
    rows = cell.attack.images_to_fit or cell.n
    estimate = rows * passes * sum(paces) if paces else None
    source = through({"sources": list(cell.sources), "models": list(cell.targets)})
    names = {"cell": cell.id, "dataset": cell.dataset, "source": source, "attack": cell.variant, "state": state}
    return {key: Value(name, kind="label") for key, name in names.items()} | {
        "n": Value(str(cell.n), cell.n),
        "passes": Value(f"{passes:g}", passes),
        "seconds": Value("—", kind="missing") if estimate is None else Value(f"{estimate:.1f}", estimate),
    }


def _seconds_per_pass(dataset: str, model: str, bench: Bench) -> float:
    """Half the time of one forward and backward pass per sample, warmed up once."""
    classifier = bench.classifier(model)
    x = shown(bench.samples(dataset), looks=8)[:32].to(bench.device)
    oracle = Oracle(classifier.module, bench.device)
    for _ in range(2):
        oracle.open(len(x))
        start = time.perf_counter()
        view = oracle.differentiate(x)
        view.gradient(Goal(view.logits.argmax(1), view.logits.shape[1]).seed(view.logits))
        seconds = time.perf_counter() - start
    return seconds / len(x) / 2
