"""Rows as a run would store them, without running anything: what the tests of store, tables and render work on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robustbench_lite.results.schema import CELLS, SAMPLES, Row
from robustbench_lite.results.store import Results, Store, read

RUN = {
    "name": "synthetic",
    "reference": "deepfool-t1",
    "data": ["mnist"],
    "models": ["lenet", "fc"],
    "attacks": ["deepfool", "fgsm", "lbfgs"],
    "published": {
        "lenet": {"classifier": "LeNet", "dataset": "MNIST"},
        "fc": {"classifier": "FC500-150-10", "dataset": "MNIST"},
    },
}
PARAMS = {"deepfool": {"clip": False}, "fgsm": {"clip": False, "fraction": 0.5}, "lbfgs": {}}
NORMS = {"deepfool": "l2", "fgsm": "linf", "lbfgs": "l2"}


def cell_row(cell: str, model: str = "lenet", attack: str = "deepfool", **changes: object) -> Row:
    row = dict.fromkeys(CELLS.names) | {
        "cell": cell,
        "suite": "synthetic",
        "dataset": "mnist",
        "n": 20,
        "source": model,
        "sources": [model],
        "models": [model],
        "classes": 10,
        "attack": attack,
        "variant": attack,
        "params": json.dumps(PARAMS.get(attack, {})),
        "norm": NORMS.get(attack),
        "goal": "prediction",
        "status": "ok",
        "warnings": [],
        "notes": [],
        "card_test_error": 1.2,
        "forwards": 60,
        "backwards": 40,
        "near_ties": 0,
        "seconds": 0.5,
        "seconds_forward": 0.3,
        "seconds_backward": 0.1,
        "seconds_alone": 0.05,
        "batch_size": 20,
        "device": "cpu",
    }
    return row | changes


def sample_rows(cell: Row, n: int = 20, rho: float = 0.1, *, wrong: int = 2, failures: int = 0) -> list[Row]:
    """`wrong` samples are misclassified before the attack; on the last `failures` the attack does nothing."""
    sizes = rho * np.random.default_rng(7).uniform(0.8, 1.2, n)
    rows = []
    for i in range(n):
        before = 1 if i < wrong else 0
        success = i < n - failures
        rows.append(
            dict.fromkeys(SAMPLES.names)
            | {name: cell[name] for name in ("cell", "suite", "dataset", "source", "attack", "variant", "norm", "goal")}
            | {"sample": f"s{i:03}", "model": cell["models"][0], "label": 0, "clean_pred": before}
            | {"clean_correct": before == 0, "adv_pred": 2 if success else before, "success": success}
            | {"success_8bit": success and i % 2 == 0, "near_tie": False, "zero_gradient": 0, "status": "ok"}
            | {"rho": float(sizes[i]), "rho_linf": float(sizes[i]) / 2}
        )
    return rows


def image_rows(cell: str, n: int = 3) -> list[Row]:
    pixels = np.random.default_rng(1).random((n, 1, 4, 4), dtype=np.float32)
    return [
        {"cell": cell, "sample": f"s{i:03}", "shape": [1, 4, 4], "clean": bytes(16), "adversarial": p.tobytes()}
        for i, p in enumerate(pixels)
    ]


def put(store: Store, cell: Row, **of_samples: object) -> None:
    store.write(cell["cell"], sample_rows(cell, **of_samples) if cell["status"] == "ok" else [], cell)


def example(folder: Path) -> Results:
    """Two classifiers by three attacks: one cell failed, one warns, one never ran."""
    store = Store(folder)
    put(store, cell_row("a1"), rho=0.2)
    put(store, cell_row("a2", attack="fgsm", seconds_alone=0.01, notes=["epsilon 0.2"]), rho=0.9, failures=2)
    put(store, cell_row("a3", attack="lbfgs", seconds_alone=2.0), rho=0.24)
    put(store, cell_row("b1", "fc", warnings=["clean accuracy is far from the card's"]))
    put(store, cell_row("b2", "fc", "fgsm", status="failed", error="ModelError: logits are not finite"))
    names = ("dataset", "source", "sources", "models", "variant", "attack", "params", "norm", "eps", "goal")
    rows = [cell_row(f"{cell}{i}", model, attack) for cell, model in (("a", "lenet"), ("b", "fc"))
            for i, attack in enumerate(RUN["attacks"], 1)]  # fmt: skip
    planned = [{"cell": row["cell"]} | {name: row[name] for name in names} for row in rows]
    store.write_run({**RUN, "cells": [row["cell"] for row in rows], "planned": planned})
    return read(folder)


def write(folder: Path, cell: Row, *, n: int = 20, images: int = 0, **columns: object) -> None:
    """A cell whose samples have these columns, each one value for all or a list."""
    rows = [
        row | {"margin": 0.1, "l2": 0.5, "linf": 0.1, "clean_confidence": 0.9, "adv_confidence": 0.8}
        | {name: value[i] if isinstance(value, list) else value for name, value in columns.items()}
        for i, row in enumerate(sample_rows(cell, n))
    ]  # fmt: skip
    Store(folder).write(cell["cell"], rows, cell, [row | {"cell": cell["cell"]} for row in image_rows("x", images)])


def two(folder: Path, right: tuple[int, int] = (16, 8), **changes: object) -> Results:
    """Two classifiers under a budget: this many of 20 samples stay right."""
    for model, count in zip(("lenet", "fc"), right, strict=True):
        cell = cell_row(model, model, "pgd", norm="linf", eps=0.1, goal="label", **changes)
        after = [0 if i < count else 2 for i in range(20)]
        write(folder, cell, images=3, clean_correct=True, adv_pred=after, success=[p == 2 for p in after])
    Store(folder).write_run({"name": "two", "models": ["lenet", "fc"], "cells": ["lenet", "fc"], "finished": "now"})
    return read(folder)
