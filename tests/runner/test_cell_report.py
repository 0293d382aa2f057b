"""What becomes of a cell: the stage, the seconds of each, the whole traceback; the store and printers only look on."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from robustbench_lite.errors import ModelError, StoreError
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner import execute as executor
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.cell_trial import prepare
from robustbench_lite.runner.observer import Silent
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from tests.helpers import CPU

FGSM = {"fgsm": {"epsilon": 0.1}}
SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 3}},
    "models": ["lenet_mnist"],
    "attacks": [FGSM],
    "tables": ["accuracy"],
}
CODE = """
import torch

def broken():
    raise LookupError("no weights")

class Late(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))

    def forward(self, x):
        if x.requires_grad and len(x) == 3:
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps > 1:
                raise ZeroDivisionError("late")
        return self.inner(x)

def late():
    return Late()

def soft():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10), torch.nn.Softmax(1))
"""


class Listener(Silent):
    def __init__(self) -> None:
        self.reports: list[CellReport] = []

    def finished(self, report):
        self.reports.append(report)


def reports(folder, suite=SUITE, **options):
    """What an observer is told, and the rows of the cells as they are stored."""
    listener = Listener()
    results = run_suite(load(suite, root=folder), Options(results=folder, timing=False, **options), listener)
    return listener.reports, results.cell_table.to_pylist()


def mine(factory):
    return {"python": f"nets.py:{factory}", "size": [1, 28, 28], "classes": 10, "trust": True}


def test_a_finished_cell_says_how_long_each_stage_took(tmp_path):
    (report,), (row,) = reports(tmp_path)
    assert not report.failed and report.stage is None
    assert list(report.seconds) == ["inspect", "attack", "judge", "store"]
    stages = json.loads(row["seconds_stages"])
    assert set(stages) == {"inspect", "attack", "judge"}  # what storing takes is known when the row is written
    assert all(stages[stage] == pytest.approx(report.seconds[stage], abs=1e-6) for stage in stages)
    assert row["seconds_inspect"] == pytest.approx(stages["inspect"], abs=1e-6)
    assert row["seconds_judge"] == pytest.approx(stages["judge"], abs=1e-6)
    assert row["traceback"] is None


@pytest.mark.parametrize(
    ("changes", "stage", "last"),
    [
        ({"models": [mine("broken")]}, "load", "LookupError: no weights"),
        ({"data": {"mnist": {"samples": 3, "size": 32}}}, "inspect", "robustbench_lite.errors.DataError: "),
        ({"models": [mine("soft")]}, "inspect", "robustbench_lite.errors.ModelError: "),
        ({"attacks": [{"fgsm": {"epsilon": 0.1, "target": 99}}]}, "inspect", "robustbench_lite.errors.AttackError: "),
        ({"models": [mine("late")]}, "attack", "ZeroDivisionError: late"),
    ],
    ids=["load", "size", "softmax", "target", "attack"],
)
def test_a_failed_cell_says_where_and_keeps_the_whole_traceback(tmp_path, changes, stage, last):
    (tmp_path / "nets.py").write_text(CODE)
    (report,), (row,) = reports(tmp_path, {**SUITE, **changes})
    assert report.failed and report.stage == row["stage"] == stage
    assert row["traceback"].startswith("Traceback (most recent call last):")
    assert row["traceback"].rstrip().splitlines()[-1].startswith(last)
    assert set(json.loads(row["seconds_stages"])) <= {"inspect", "attack"}
    assert not report.samples and row["forwards"] is None


def test_what_is_wrong_with_the_plan_of_a_cell_fails_it_before_anything_is_loaded():
    assets = Assets(load({**SUITE, "attacks": [{"pgd": {"norm": "l2", "epsilon": 100}}]}), CPU)
    (cell,) = plan(assets.suite, assets)
    report = executor.execute(cell, Preflight(assets))
    assert report.stage == "plan"
    assert "larger than 28, the distance of black from white" in report.row["error"]
    assert "robustbench_lite.errors.AttackError: " in report.row["traceback"]


def test_a_judge_that_fails_is_a_stage_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "judged", lambda *_: 1 / 0)
    (report,), (row,) = reports(tmp_path)
    assert report.stage == "judge" and "ZeroDivisionError" in row["traceback"]
    assert list(json.loads(row["seconds_stages"])) == ["attack", "inspect", "judge"]


@pytest.mark.parametrize("error", [ValueError("a column"), pa.ArrowInvalid("a type")])
def test_rows_that_cannot_be_stored_fail_their_cell_and_no_other(tmp_path, monkeypatch, error):
    inner = Store.write

    def write(self, cell, samples, row, *rest):
        if row["variant"] == "fgsm" and samples:
            raise error
        inner(self, cell, samples, row, *rest)

    monkeypatch.setattr(Store, "write", write)
    (first, second), rows = reports(tmp_path, {**SUITE, "attacks": [FGSM, {"pgd": {"epsilon": 0.1, "steps": 1}}]})
    assert first.stage == "store" and not first.samples and str(error) in rows[0]["error"]
    assert type(error).__name__ in rows[0]["traceback"]
    assert not second.failed and [row["status"] for row in rows] == ["failed", "ok"]
    assert len(read(tmp_path / "small").sample_table) == 3


def test_a_disk_that_is_full_ends_the_run(tmp_path, monkeypatch):
    def write(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "write", write)
    with pytest.raises(StoreError):
        reports(tmp_path)


def test_the_executor_knows_neither_the_store_nor_who_looks_on():
    tree = ast.parse(Path(executor.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if "store" in name or "progress" in name or "observer" in name}


def test_a_trial_is_all_that_a_cell_needs(tmp_path, monkeypatch):
    """Whatever a cell needs of its suite is asked for when the trial is made, and nothing afterwards."""
    suite = load({**SUITE, "attacks": [{"universal": {"epsilon": 0.1, "fit": 5, "passes": 1}}]})
    preflight = Preflight(Assets(suite, CPU))
    (cell,) = plan(suite, preflight.assets)
    trial = prepare(cell, preflight)
    for name in [name for name in dir(Assets) if not name.startswith("_")]:
        monkeypatch.setattr(Assets, name, property(lambda _: pytest.fail("the assets are asked again")), raising=False)
    outcome, _ = executor.attack(trial)
    report = executor.judge_again(trial, outcome)
    assert len(report.samples) == len(trial.ids) == 3
    assert report.row["fit_n"] == 5


def test_what_could_not_be_loaded_does_not_grow_with_every_question(tmp_path):
    (tmp_path / "nets.py").write_text(CODE)
    assets = Assets(load({**SUITE, "models": [mine("broken")]}, root=tmp_path), CPU)
    errors = []
    for _ in range(3):
        with pytest.raises(ModelError, match="no weights") as caught:
            assets.classifier("broken")
        errors.append(len(caught.traceback))
    assert errors[0] == errors[1] == errors[2]


def test_a_classifier_that_is_loaded_anew_is_inspected_anew(tmp_path):
    preflight = Preflight(Assets(load(SUITE), CPU))
    before = preflight.inspect("mnist", "lenet_mnist")
    assert preflight.inspect("mnist", "lenet_mnist") is before
    module = preflight.assets.classifier("lenet_mnist").module
    next(module.parameters()).data += 1
    assert preflight.assets.changed(["lenet_mnist"]) == ["lenet_mnist"]
    again = preflight.inspect("mnist", "lenet_mnist")
    assert again is not before and torch.equal(again.logits, before.logits)
