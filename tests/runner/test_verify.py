"""Results that were tampered with, through the store, with digests as they must be: `verify` computes them again."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.results.sealed import parsed, seal
from robustbench_lite.results.store import Store
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify

MODEL, OTHER = "resnet8_fashion", "resnet14_fashion"
N = 8
SUITE = {
    "version": 1,
    "name": "small",
    "data": {"fashion_mnist": {"samples": N}},
    "models": [MODEL, OTHER],
    "attacks": [
        {"fgsm": {"epsilon": 0.03, "sources": "all"}},
        {"pgd": {"epsilon": 0.05, "steps": 2, "target": "random", "sources": [MODEL]}},
        {"deepfool": {"sources": [MODEL]}},
        {"spatial": {"search": "grid", "angles": 3, "shifts": 3, "sources": [MODEL]}},
        {"universal_sgd": {"epsilon": 0.2, "epochs": 1, "batch": 10, "fit": 20, "sources": [MODEL]}},
        {"fgsm": {"epsilon": 0.05, "under": [{"noise": {"std": 0.02}}], "evaluation_draws": 4, "sources": [OTHER]},
         "as": "seen"},
    ],
    "tables": ["accuracy", "cost"],
    "gate": {"min_robust_accuracy": 5},
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("verified"), device="cpu").folder


@pytest.fixture
def folder(results, tmp_path):
    shutil.copytree(results, tmp_path / "small")
    return tmp_path / "small"


def path_of(folder: Path, part: str, variant: str) -> Path:
    """The file of one cell, by what tables call its attack."""
    names = {row["variant"]: path for path in folder.glob("cells/*.parquet") for row in pq.read_table(path).to_pylist()}
    name = next(name for name in sorted(names) if name.startswith(variant))
    return folder / part / names[name].name


def edit(part, variant, change):
    """A tampering that changes the rows of one file, in place or as a new list."""

    def tamper(folder):
        path = path_of(folder, part, variant)
        table = pq.read_table(path)
        rows = table.to_pylist()
        rows = change(rows) or rows
        seal(pa.Table.from_pylist(rows, table.schema), path)

    return tamper


def samples(of, /, **columns):
    """Other values in the rows of a cell: functions of a row."""

    def change(rows):
        for row in rows:
            row |= {name: value(row) if callable(value) else value for name, value in columns.items()}

    return edit("samples", of, change)


def one(of, /, **columns):
    """The same in its first row only."""

    def change(rows):
        rows[0] |= {name: value(rows[0]) if callable(value) else value for name, value in columns.items()}

    return edit("samples", of, change)


def cell(of, /, **columns):
    def change(rows):
        rows[0] |= {name: value(rows[0]) if callable(value) else value for name, value in columns.items()}

    return edit("cells", of, change)


def recorded(change):
    """Another run.json, with the right digest."""

    def tamper(folder):
        content = parsed(folder / "run.json")
        change(content)
        Store(folder).write_run(content)

    return tamper


def both(*tamperings):
    def tamper(folder):
        for tampering in tamperings:
            tampering(folder)

    return tamper


def swapped(rows):
    rows[0]["adversarial"], rows[1]["adversarial"] = rows[1]["adversarial"], rows[0]["adversarial"]


def forged_tie(row):
    """A success where there is none, excused as a near tie."""
    return {"near_tie": True, "success": not row["success"], "adv_pred": (row["adv_pred"] + 1) % 10}


def tie_all(rows):
    for row in rows:
        row.update(forged_tie(row))


def without(part, variant):
    return lambda folder: path_of(folder, part, variant).unlink()


def renamed(folder):
    """Another id, the same everywhere."""
    old = path_of(folder, "cells", "deepfool").stem
    for path in folder.glob(f"*/{old}.parquet"):
        table = pq.read_table(path)
        rows = [row | {"cell": "0" * 16} for row in table.to_pylist()]
        seal(pa.Table.from_pylist(rows, table.schema), path.with_name(f"{'0' * 16}.parquet"))
        path.unlink()
    recorded(lambda run: run.update(json.loads(json.dumps(run).replace(old, "0" * 16))))(folder)


def forgotten(folder):
    """A cell that was never there, to judge by run.json."""
    old = path_of(folder, "cells", "deepfool").stem
    for path in folder.glob(f"*/{old}.parquet"):
        path.unlink()

    def change(run):
        run["cells"].remove(old)
        run["planned"] = [entry for entry in run["planned"] if entry["cell"] != old]

    recorded(change)(folder)


def failed(folder):
    """A number that somebody did not like."""
    path_of(folder, "samples", "deepfool").unlink()
    cell("deepfool", status="failed", error="AttackError: out of luck")(folder)


def other_values(rows):
    rows[0]["values"] = (np.frombuffer(rows[0]["values"], "<f4") + np.float32(0.01)).tobytes()


def cut(part, variant):
    def tamper(folder):
        path = path_of(folder, part, variant)
        path.write_bytes(path.read_bytes()[:-30])

    return tamper


TAMPERINGS = {
    "label": one("fgsm", label=lambda row: (row["label"] + 1) % 10),
    "label and whether it was right": one("fgsm", label=lambda row: (row["label"] + 1) % 10, clean_correct=False),
    "prediction": one("deepfool", adv_pred=lambda row: (row["adv_pred"] + 1) % 10),
    "success": one("fgsm", success=lambda row: not row["success"]),
    "success of a row that is called a near tie": edit("samples", "fgsm", tie_all),
    "near tie": one("fgsm", near_tie=True),
    "success in 8 bits": one("fgsm", success_8bit=lambda row: not row["success_8bit"]),
    "margin": one("deepfool", margin=lambda row: row["margin"] + 1),
    "clean prediction": one("fgsm", clean_pred=lambda row: (row["clean_pred"] + 1) % 10),
    "clean correct": one("fgsm", clean_correct=lambda row: not row["clean_correct"]),
    "clean confidence": one("fgsm", clean_confidence=lambda row: row["clean_confidence"] / 2),
    "confidence": one("fgsm", adv_confidence=lambda row: row["adv_confidence"] / 2),
    "second class": one("fgsm", adv_second=lambda row: (row["adv_second"] + 1) % 10),
    "its confidence": one("fgsm", adv_second_confidence=lambda row: row["adv_second_confidence"] + 0.1),
    "l0": one("deepfool", l0=lambda row: row["l0"] - 1),
    "l1": one("deepfool", l1=lambda row: row["l1"] * 0.99),
    "l2": one("deepfool", l2=lambda row: row["l2"] * 0.99),
    "linf": one("deepfool", linf=lambda row: row["linf"] * 0.99),
    "rho": samples("deepfool", rho=lambda row: row["rho"] * 1.01),
    "rho_linf": samples("deepfool", rho_linf=lambda row: row["rho_linf"] * 1.01),
    "rmsd": one("deepfool", rmsd=lambda row: row["rmsd"] + 1),
    "rank of the label": one("fgsm", label_rank=lambda row: row["label_rank"] + 1),
    "target": one("pgd", target=lambda row: (row["target"] + 1) % 10),
    "rank of the target": one("pgd", target_rank=lambda row: row["target_rank"] + 1),
    "transform": one("spatial", transform='{"angle":0.0,"dx":0.0,"dy":0.0,"scale":1.0}'),
    "control": one("universal", control_pred=lambda row: (row["control_pred"] + 1) % 10),
    "views of the label": one("seen", draws_label=lambda row: 4 - row["draws_label"] or 1),
    "views": samples("seen", draws=1000),
    "a row deleted": edit("samples", "fgsm", lambda rows: rows[1:]),
    "a row twice": edit("samples", "fgsm", lambda rows: [*rows, rows[0]]),
    "a row twice, another deleted": edit("samples", "fgsm", lambda rows: [rows[1], *rows[1:]]),
    "another sample": one("fgsm", sample="0" * 16),
    "another classifier": one("fgsm", model=OTHER),
    "classifiers exchanged": samples("fgsm", model=lambda row: OTHER if row["model"] == MODEL else MODEL),
    "other weights": samples("deepfool", weights="f" * 16),
    "params of rows": samples("fgsm", params=lambda row: row["params"].replace("0.03", "0.3")),
    "epsilon of rows": samples("fgsm", eps=0.3),
    "norm of rows": samples("fgsm", norm="l2"),
    "goal of rows": samples("fgsm", goal="prediction"),
    "variant of rows": samples("fgsm", variant="pgd"),
    "attack of rows": samples("fgsm", attack="pgd"),
    "source of rows": samples("fgsm", source=MODEL),
    "dataset of rows": samples("fgsm", dataset="mnist"),
    "suite of rows": samples("fgsm", suite="large"),
    "status of a row": one("fgsm", status="gradient or logits not finite"),
    "status of a row and its cell": both(
        one("fgsm", status="bad luck"), cell("fgsm", status="failed", error="bad luck")
    ),
    "passes of rows": one("fgsm", forwards=0),
    "params": cell("fgsm", params=lambda row: row["params"].replace("0.03", "0.3")),
    "params everywhere": both(
        samples("fgsm", params=lambda row: row["params"].replace("0.03", "0.3"), eps=0.3),
        cell("fgsm", params=lambda row: row["params"].replace("0.03", "0.3"), eps=0.3),
    ),
    "epsilon": cell("fgsm", eps=0.3),
    "norm": cell("fgsm", norm="l2"),
    "goal": cell("fgsm", goal="prediction"),
    "seed": cell("pgd", seed=1),
    "version of the attack": cell("fgsm", version=7),
    "weights": cell("deepfool", weights=lambda row: row["weights"][:-3] + '0"}'),
    "n": cell("fgsm", n=1000),
    "clean accuracy": cell("fgsm", clean_accuracy=1.0),
    "accuracy of the card": cell("deepfool", card_accuracy=0.1),
    "near ties": cell("fgsm", near_ties=7),
    "classes": cell("fgsm", classes=2),
    "what fits the set": cell("universal", fit_rate=1.0),
    "how many were fitted on": cell("universal", fit_n=10_000),
    "a warning that nobody gave": cell("fgsm", warnings=["all is well"]),
    "scored classifiers": cell("fgsm", models=[MODEL]),
    "attacked classifiers": cell("fgsm", sources=[MODEL]),
    "selection": cell("fgsm", data="{}"),
    "failed though its rows are fine": cell("fgsm", status="failed", error="why"),
    "failed and its rows deleted": failed,
    "a cell deleted": without("cells", "deepfool"),
    "a cell deleted, and from the plan": forgotten,
    "another id": renamed,
    "images deleted": without("images", "fgsm"),
    "an image deleted": edit("images", "fgsm", lambda rows: rows[1:]),
    "an image twice": edit("images", "fgsm", lambda rows: [*rows, rows[0]]),
    "two images exchanged": edit("images", "fgsm", swapped),
    "another original": edit("images", "deepfool", lambda rows: rows[0].update(clean=bytes(784))),
    "an image of another shape": edit("images", "fgsm", lambda rows: rows[0].update(shape=[1, 14, 56])),
    "an image cut short": edit("images", "fgsm", lambda rows: rows[0].update(adversarial=b"123")),
    "another perturbation": edit("artifacts", "universal", other_values),
    "no perturbation": without("artifacts", "universal"),
    "half of the samples": cut("samples", "fgsm"),
    "half of the images": cut("images", "fgsm"),
    "half of a cell": cut("cells", "fgsm"),
    "tables of run.json": recorded(lambda run: run.update(tables=["cost"])),
    "the gate's floor": recorded(lambda run: run["gate"].update(min_robust_accuracy=0)),
    "the gate": recorded(lambda run: run.pop("gate")),
    "the gate's floor everywhere but in the text": recorded(
        lambda run: (run["gate"].update(min_robust_accuracy=0), run["suite"]["gate"].update(min_robust_accuracy=0))
    ),
    "calibration": recorded(lambda run: next(iter(run["calibration"].values())).update(checks=10**6)),
    "no calibration": recorded(lambda run: run["calibration"].clear()),
    "planned cells": recorded(lambda run: run["planned"].pop()),
    "cells of run.json": recorded(lambda run: run["cells"].reverse()),
    "names of papers": recorded(lambda run: run.update(published={MODEL: {"classifier": "VGG-19"}})),
    "names of classes": recorded(lambda run: run["classes"]["fashion_mnist"].reverse()),
    "classifiers of run.json": recorded(lambda run: run["models"].reverse()),
    "limit": recorded(lambda run: run.update(limit=4)),
    "seed of run.json": recorded(lambda run: run["suite"].update(seed=5)),
    "suite of run.json": recorded(lambda run: run.pop("suite")),
    "no run.json": lambda folder: (folder / "run.json").unlink(),
    "half of run.json": lambda folder: (folder / "run.json").write_text("{"),
    "run.json by hand": lambda folder: (folder / "run.json").write_text(
        (folder / "run.json").read_text().replace('"min_robust_accuracy": 5', '"min_robust_accuracy": 0')
    ),
}  # fmt: skip
# the attack alone knows what it has spent; the sums over rows agree, and there is nothing to compute them from
UNKNOWABLE = {
    "passes everywhere": both(
        samples("deepfool", forwards=1), cell("deepfool", forwards=N)
    ),
    "seconds": cell("deepfool", seconds=0.001),
}  # fmt: skip


def test_what_a_run_wrote_is_verified(results):
    report = verify(results, "cpu")
    assert report.sound and report.near_ties == 0
    assert report.rows == 2 * N * 6


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_noticed(name, folder):
    TAMPERINGS[name](folder)
    with suppress(RobustbenchError):  # a sentence, and no exit code 0
        assert not verify(folder, "cpu").sound


@pytest.mark.parametrize("name", UNKNOWABLE)
def test_what_only_the_attack_knows_is_not_verified(name, folder):
    UNKNOWABLE[name](folder)
    assert verify(folder, "cpu").sound


def test_the_order_of_a_suite_is_not_lost(tmp_path):
    """run.json has its keys in another order; datasets and matrices of a suite stand in the order of its file."""
    suite = {
        "version": 1,
        "name": "order",
        "data": {"second": {"bundled": "mnist", "samples": 2}, "first": {"bundled": "mnist", "samples": 3}},
        "models": ["lenet_mnist"],
        "attacks": [{"pgd": {"matrix": {"steps": [2, 1], "epsilon": [0.2, 0.1]}}}],
        "tables": ["accuracy"],
    }
    results = run(suite, tmp_path)
    assert results.run["data"] == ["second", "first"]
    assert verify(results.folder, "cpu").disagreements == ()
