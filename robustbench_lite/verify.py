"""Re-scores stored adversarials without attacking: do the rows say what the images do?"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_lite.attack import Attack, FittedAttack, SceneAttack, attacks
from robustbench_lite.bench import Bench
from robustbench_lite.errors import NoResultsError
from robustbench_lite.judge import Panel, Verdicts, judge, look
from robustbench_lite.lazy import torch
from robustbench_lite.record import Row
from robustbench_lite.recorded import suite_of
from robustbench_lite.runner import device_named
from robustbench_lite.store import Results, read
from robustbench_lite.threat import Goal

__all__ = ["Disagreement", "Report", "verify"]

_ROUNDING = 1e-6  # a device may add two numbers otherwise in the last bit
_MEASURED = ("l1", "l2", "linf", "rho", "rho_linf", "rmsd")


@dataclass(frozen=True)
class Disagreement:
    """One stored value that the images contradict."""

    cell: str
    sample: str
    column: str
    stored: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.cell} {self.sample}: {self.column} is stored as {self.stored}, the image gives {self.found}"


@dataclass(frozen=True)
class Report:
    """How many rows were re-scored, how many near ties fell the other way, and what disagrees."""

    rows: int
    near_ties: int
    skipped: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]


def verify(folder: Path, device: str = "auto", *, trust: bool = False) -> Report:
    """Re-score every stored adversarial of a results folder. Raises NoResultsError where there are none.

    Raises UsageError where its suite names code, unless `trust`: then that code runs.
    """
    results = read(folder)
    bench = Bench(suite_of(results, trust=trust), device_named(device))
    found: list[Disagreement] = []
    skipped: list[str] = []
    rows = ties = 0
    scored: defaultdict[str, defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in results.sample_table.to_pylist():
        scored[row["cell"]][row["model"]].append(row)
    for cell in results.cell_table.to_pylist():
        images = {row["sample"]: row for row in results.images(cell["cell"]).to_pylist()}
        if not scored[cell["cell"]] or not images:
            skipped.append(f"{cell['cell']} ({cell['source']}, {cell['variant']}): no stored images")
            continue
        found += _as_fitted(cell, images, results)
        for samples in scored[cell["cell"]].values():
            wrong, close = _check(cell, samples, images, bench)
            found, rows, ties = found + wrong, rows + len(samples), ties + close
    if rows == 0:
        raise NoResultsError(f"{folder}: no stored adversarials to verify (the suite says `images: none`?)")
    return Report(rows, ties, tuple(skipped), tuple(found))


def _check(cell: Row, samples: list[Row], images: dict[str, Row], bench: Bench) -> tuple[list[Disagreement], int]:
    """What disagrees in the rows of one cell and scored classifier, and how many near ties fell the other way."""
    stored, classifier = samples[0]["weights"], bench.classifier(samples[0]["model"])
    if classifier.weights != stored:
        return [Disagreement(cell["cell"], "*", "weights", stored, classifier.weights)], 0
    verdicts = _rescore(cell, samples, images, bench)
    found, ties = [], 0
    for i, row in enumerate(samples):
        if row["near_tie"] and bool(verdicts.predictions[i] != row["adv_pred"]):
            ties += 1
        else:
            found += _compare(row, verdicts, i)
    return found, ties


def _rescore(cell: Row, samples: list[Row], images: dict[str, Row], bench: Bench) -> Verdicts:
    ordered = [images[row["sample"]] for row in samples]
    shape = (len(ordered), *ordered[0]["shape"])
    clean = np.frombuffer(b"".join(row["clean"] for row in ordered), np.uint8).reshape(shape)
    adversarial = np.frombuffer(b"".join(row["adversarial"] for row in ordered), "<f4").reshape(shape)
    x, candidates = torch.from_numpy(clean.copy()).float() / 255, torch.from_numpy(adversarial.copy())
    module = bench.classifier(samples[0]["model"]).module
    size, attack = bench.batch_for(x), _attack(cell)
    classify = lambda part: look(module, part, bench.device, size)
    if isinstance(attack, SceneAttack):  # only views of objects need the data
        scene, ids = bench.samples(cell["dataset"]).scene, [row["sample"] for row in samples]
        most, draws = bench.batch_for(x, scene), attack.evaluation_draws
        classify = Panel(attack.views(scene), module, bench.device, most, draws, cell["seed"], ids).logits
    return judge(
        attack,
        classify,
        x,
        candidates,
        _goal(samples, bench),
        _found(attack, samples),
    )


def _as_fitted(cell: Row, images: dict[str, Row], results: Results) -> list[Disagreement]:
    """Which images are not what the stored perturbation makes of the clean ones, where one was fitted for all."""
    attack = _attack(cell)
    if not isinstance(attack, FittedAttack):
        return []
    stored = [row for row in results.artifacts(cell["cell"]).to_pylist() if row["name"] == "perturbation"]
    if not stored:
        return [Disagreement(cell["cell"], "*", "perturbation", "nothing", "images that one has changed")]
    v = torch.from_numpy(np.frombuffer(stored[0]["values"], "<f4").reshape(stored[0]["shape"]).copy())
    out = []
    for sample, row in images.items():
        clean = np.frombuffer(row["clean"], np.uint8).reshape(1, *row["shape"]).copy()
        moved = attack.apply(torch.from_numpy(clean).float() / 255, v).numpy().ravel()
        gap = float(np.abs(moved - np.frombuffer(row["adversarial"], "<f4")).max())
        if not gap <= _ROUNDING:
            out.append(Disagreement(cell["cell"], sample, "perturbation", "another", f"a difference of {gap:.2g}"))
    return out


def _found(attack: Attack, samples: list[Row]) -> torch.Tensor:
    """The numbers (N, D) that the rows say made the candidates."""
    made = [json.loads(row["transform"] or "{}") for row in samples]
    return torch.tensor([[one.get(name, float("nan")) for name in attack.found] for one in made], dtype=torch.float64)


def _attack(cell: Row) -> Attack:
    return attacks.build(cell["attack"], json.loads(cell["params"]))


def _goal(samples: list[Row], bench: Bench) -> Goal:
    """The goal as the rows tell it, without the attack."""
    kind = samples[0]["goal"]
    column = {"label": "label", "prediction": "clean_pred", "target": "target"}[kind]
    label = torch.tensor([row[column] for row in samples])
    return Goal(label, bench.classifier(samples[0]["model"]).card.classes, targeted=kind == "target")


def _compare(row: Row, verdicts: Verdicts, i: int) -> list[Disagreement]:
    seen = {
        "adv_pred": int(verdicts.predictions[i]),
        "success": bool(verdicts.success[i]),
        "success_8bit": bool(verdicts.success_8bit[i]),
    }
    wrong: list[tuple[str, Any, Any]] = [(name, row[name], value) for name, value in seen.items() if row[name] != value]
    for name in _MEASURED:
        value = float(verdicts.sizes[name][i])
        if not np.isclose(row[name], value, rtol=1e-5, atol=1e-9):
            wrong.append((name, row[name], value))
    return [Disagreement(row["cell"], row["sample"], *entry) for entry in wrong]
