"""One cell becomes a report: build the dictionaries, draw signals, set the pursuit, measure. On a CPU, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

from robustbench_lite.errors import UsageError
from robustbench_lite.guards.foreign import is_interrupt, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.sparse_coding.cell import SparseCell
from robustbench_lite.runner.sparse_coding.report import SparseReport, SparseStage, described
from robustbench_lite.sparse_coding import Layers, Pursuit, measure

__all__ = ["measured"]


def measured(cell: SparseCell, timeout: float | None = None) -> SparseReport:
    """Never raises for what a model or a pursuit does wrong; only for interrupts."""
    started, start = datetime.now(UTC), perf_counter()
    report, stage = SparseReport(cell, described(cell)), list[SparseStage](["load"])
    try:
        with undisturbed(), limited(timeout):
            report = replace(report, layers=list(_layers(cell, stage)))
    except BaseException as error:  # the one broad except: a cell must not stop the others
        if is_interrupt(error):
            raise
        report = report.failure(error, stage[-1])
    report.described["seconds"] = perf_counter() - start
    report.described["provenance"] = canonical(provenance.of_cell(torch.device("cpu"), started))
    return report


def _layers(cell: SparseCell, stage: list[SparseStage]) -> Iterator[Row]:
    """The rows of all layers. Raises UsageError where the model has no signals, or the noise leaves no threshold."""
    one = cell.entry
    try:
        layers, signals, draw = one.setup.signals(cell.n, one.seed)
        pursuit = Pursuit.set_for(one.pursuit, layers, signals, one.set_for, one.iterations)
    except ValueError as error:
        raise UsageError(str(error)) from error
    stage.append("measure")
    for found in measure(pursuit, signals, one.noise, draw, one.steps):
        row = {key: value for key, value in found.row().items() if key not in {"model", "pursuit", "noise", "signals"}}
        yield {key: _stored(value) for key, value in row.items()} | _atoms(layers, found.layer)


def _stored(value: float) -> float | None:
    """No number is null."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _atoms(layers: Layers, layer: int) -> Row:
    """Each atom of a layer as it appears in a signal."""
    seen = layers.seen(layer)
    return {"atoms_shape": list(seen.shape), "atoms": seen.float().numpy().astype("<f4").tobytes()}
