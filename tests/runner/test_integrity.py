"""Classifiers that change while they are attacked: that cell fails, and no other number is of another classifier."""

from __future__ import annotations

import json

import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.errors import SuiteError
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load

NETS = """
import builtins, os, sys, time, traceback
import torch

KEPT = builtins.__dict__.setdefault("_kept_by_tests", {})


class Net(torch.nn.Module):
    def __init__(self, how=""):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        self.how, self.scale, self.done = how, 1.0, False
        if how == "victim":
            KEPT["victim"] = self

    def forward(self, x):
        candidate = x.std() > 0 and bool(((255 * x - (255 * x).round()).abs() > 1e-3).any())
        due = candidate and x.requires_grad
        if self.how == "judged":
            due = any(frame.name == "judge" for frame in traceback.extract_stack())
        if due and not self.done and self.how:
            self.done = True
            self.act()
        return self.scale * self.net(x)

    def act(self):
        if self.how in {"weights", "judged", "for good"}:
            self.net[1].weight.data += 0.5
        if self.how == "attribute":
            self.scale = -1.0
        if self.how == "training":
            self.net[0].training = True
        if self.how == "other":
            KEPT["victim"].net[1].weight.data += 0.5
        if self.how == "for good":
            os.environ["_CHANGED_BY_TESTS"] = "1"
        while self.how == "hang":
            pass


def factory(how=""):
    if how == "slow":
        time.sleep(60)
    net = Net(how)
    if how == "for good" and "_CHANGED_BY_TESTS" in os.environ:
        net.net[1].weight.data += 1
    return net
"""
ATTACKS = [{"pgd": {"epsilon": 0.1, "steps": 2, "goal": "prediction"}}, {"fgsm": {"goal": "prediction"}}]


def plain(folder, *hows, **changes):
    (folder / "nets.py").write_text(NETS)
    facts = {"size": [1, 28, 28], "classes": 10, "trust": True}
    models = [{"python": "nets.py:factory", "name": how or "good", "args": {"how": how}, **facts} for how in hows]
    suite = {"version": 1, "name": "s", "data": {"mnist": {"samples": 5}}, "models": models, "attacks": ATTACKS}
    return suite | changes


def outcome(folder, *hows, **changes):
    """Status by (classifier, attack), the rows of what stands, and the errors."""
    results = run_suite(load(plain(folder, *hows, **changes), root=folder), Options(results=folder))
    cells = {(row["source"], row["variant"]): row for row in results.cell_table.to_pylist()}
    rows = {}
    for row in results.sample_table.to_pylist():
        rows.setdefault((row["source"], row["variant"]), []).append((row["sample"], row["adv_pred"], row["l2"]))
    status = {key: cell["status"] for key, cell in cells.items()}
    return status, rows, {key: cell["error"] for key, cell in cells.items() if cell["error"]}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The rows of the same network when it stays what it is."""
    _, rows, _ = outcome(tmp_path_factory.mktemp("honest"), "")
    return {variant: found for (_, variant), found in rows.items()}


@pytest.mark.parametrize("how", ["weights", "judged", "attribute", "training"])
def test_a_cell_that_changes_its_classifier_fails_and_no_other_number_is_of_the_changed_one(tmp_path, how, honest):
    status, rows, errors = outcome(tmp_path, how, "")
    failed = [key for key, text in errors.items() if "changed during the cell" in text]
    assert (how, "pgd") in failed
    assert set(errors) <= {(how, "pgd"), (how, "fgsm")}  # its fresh copy may do it again
    assert all(status["good", variant] == "ok" for variant in ("pgd", "fgsm"))
    assert rows == {key: honest[key[1]] for key in rows}
    if how != "judged":  # no gradient of this attack is one of a candidate
        assert (how, "fgsm") in rows


def test_a_classifier_that_another_one_has_changed_is_loaded_again(tmp_path, honest):
    status, rows, errors = outcome(tmp_path, "other", "victim")
    assert set(status.values()) == {"ok"}
    assert not errors
    assert rows["victim", "pgd"] == honest["pgd"]
    assert rows["victim", "fgsm"] == honest["fgsm"]


def test_what_cannot_be_loaded_as_it_was_has_no_numbers_any_more(tmp_path, monkeypatch):
    monkeypatch.setenv("_CHANGED_BY_TESTS", "0")
    monkeypatch.delenv("_CHANGED_BY_TESTS")
    status, _, errors = outcome(tmp_path, "for good", "")
    assert status == {
        ("for good", "pgd"): "failed",
        ("for good", "fgsm"): "failed",
        ("good", "pgd"): "ok",
        ("good", "fgsm"): "ok",
    }
    assert "loading it again gives others than at first" in errors["for good", "fgsm"]


def test_a_hang_is_a_failed_cell_and_the_others_go_on(tmp_path):
    status, _, errors = outcome(tmp_path, "hang", "slow", "", timeout=1.5)
    assert {key for key, value in status.items() if value == "failed"} == set(errors)
    assert {name for name, _ in errors} == {"hang", "slow"}
    assert all("took longer than 1.5 s" in text for text in errors.values())
    assert "nets.py line" in errors["hang", "pgd"]


def test_the_command_line_sets_the_limit(tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(json.dumps(plain(tmp_path, "hang", timeout=1000, tables=["accuracy"])))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "s.yaml"), "--results", str(tmp_path / "r"), "--cell-timeout", "1"])
    assert ended.value.code == 3
    assert "took longer than 1 s" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "s.yaml"), "--cell-timeout", "0"])
    assert ended.value.code == 2


@pytest.mark.parametrize("value", [0, -1, True, "ten", [5]])
def test_a_limit_is_a_number_of_seconds(tmp_path, value):
    with pytest.raises(SuiteError, match="timeout: expected seconds above 0"):
        load(plain(tmp_path, "", timeout=value))
    assert load(plain(tmp_path, "", timeout=5)).timeout == 5
