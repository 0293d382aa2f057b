"""Runs for the tests of the gate: written through the store, without attacking anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robustbench_lite.results.store import Store
from tests.synthetic import cell_row, sample_rows

PARAMS = {"fgsm": {"epsilon": 0.1, "steps": 1}, "pgd": {"epsilon": 0.1, "steps": 7}, "deepfool": {"clip": True}}


def robust(n: int = 100, share: float = 0.6, lose: int = 0) -> list[bool]:
    """The first `share` of n samples is robust, less the first `lose` of them."""
    return [lose <= i < share * n for i in range(n)]


def write(
    folder: Path,
    verdicts: list[bool],
    model: str = "lenet",
    attack: str = "fgsm",
    *,
    scale: float = 1.0,
    prefix: str = "s",
    label: int = 0,
    failures: int = 0,
    zero_gradient: int = 0,
    weights: str = "",
    gate: dict[str, object] | None = None,
    **changes: object,
) -> Path:
    """One more cell of the run in `folder`; minimal attacks succeed on all but the first `failures`, around `scale`."""
    minimal = attack == "deepfool"
    facts = {"eps": None if minimal else 0.1, "params": json.dumps(PARAMS[attack]), "version": 1, "seed": 0, **changes}
    name = str(facts.pop("cell", f"{model}-{attack}-{prefix}"))
    cell = cell_row(name, model, attack, **facts)
    sizes = scale * np.random.default_rng(5).uniform(0.1, 0.2, len(verdicts))
    rows = [
        row
        | {"sample": f"{prefix}{i:04}", "label": label, "clean_correct": True, "clean_pred": label}
        | {"zero_gradient": zero_gradient, "weights": weights or f"w-{model}"}
        | {"adv_pred": label if safe else label + 1, "success": i >= failures if minimal else not safe}
        | {"rho": float(size), "rho_linf": float(size), "l2": 10 * float(size)}
        for i, (row, safe, size) in enumerate(zip(sample_rows(cell, len(verdicts)), verdicts, sizes, strict=True))
    ]
    store = Store(folder)
    store.write(cell["cell"], rows if cell["status"] == "ok" else [], cell)
    store.write_run({"name": "synthetic", "gate": gate or {}, "seed": 0})
    return folder
