"""What a universal attack has fitted: the tensors that every shard needs, and the file that keeps them meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.job import Fitted
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import ARTIFACTS
from robustbench_lite.results.shards import Fit
from robustbench_lite.runner.cell_trial import CellTrial
from robustbench_lite.runner.verdict import artifacts, fitted

__all__ = ["restored", "storable_fit"]


def storable_fit(trial: CellTrial, outcome: Outcome, labels: list[Any]) -> Fit | None:
    """What the outcome's attack has fitted, to be stored; None where it fits nothing. `labels`: as in every shard."""
    if outcome.fit is None:
        return None
    fit = outcome.fit
    facts = {"notes": list(fit.notes), "counts": fit.counts.tolist(), "seconds": fit.seconds}
    rows = pa.Table.from_pylist(list(artifacts(trial, outcome)), schema=ARTIFACTS)
    return Fit(rows, facts | {"labels": labels, "columns": fitted(trial, outcome)})


def restored(fit: Fit) -> Fitted:
    """The same as an attack can go on with, on the CPU."""
    values = {
        row["name"]: torch.from_numpy(np.frombuffer(row["values"], "<f4").astype(np.float32)).reshape(row["shape"])
        for row in fit.artifacts.to_pylist()
    }
    return Fitted(values, tuple(fit.facts["notes"]), torch.tensor(fit.facts["counts"]), fit.facts["seconds"])
