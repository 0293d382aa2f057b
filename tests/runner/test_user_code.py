"""Whatever a user's code raises, and whatever it changes, stays in its own cell: every type of error at every place."""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed, excerpt, undisturbed
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from tests.helpers import cli

NETS = """
import os, random, sys, warnings
from pathlib import Path
import numpy as np
import torch
from torch import nn
from robustbench_lite.models.zoo import Zoo

class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")

ERRORS = {error.__name__: error for error in (
    KeyError, AttributeError, AssertionError, RuntimeError, SystemExit, RecursionError, StopIteration, MemoryError,
    Silent, KeyboardInterrupt)}

def fail(error):
    raise ERRORS[error]("planted")  # HERE

class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, net):
        ctx.net = net
        return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        ctx.net.backwards += 1
        if ctx.net.backwards >= ctx.net.at:
            fail(ctx.net.error)
        return gradient, None

class Net(nn.Module):
    def __init__(self, error, where, at):
        super().__init__()
        self.net = Zoo(zoo="lenet_mnist").load(Path()).module.net
        self.error, self.where, self.at = error, where, at
        self.plain = self.recorded = self.backwards = 0
    def forward(self, x):
        self.plain += not x.requires_grad
        self.recorded += x.requires_grad
        if self.where == "forward" and self.plain >= self.at or self.where == "recorded" and self.recorded >= self.at:
            fail(self.error)
        if self.where == "judge" and self.backwards > 1 and not x.requires_grad:  # the first is of the inspection
            fail(self.error)
        if self.where in ("backward", "judge") and x.requires_grad:
            x = Backward.apply(x, self)
        return self.net(x)

def make(error, where, at=1):
    if where == "factory":
        fail(error)
    return Net(error, where, at)

def change_all():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    np.seterr(all="raise")
    os.chdir("/")
    sys.argv[:] = ["mine"]
    sys.path[:0] = ["/nowhere"]
    sys.setrecursionlimit(500)
    warnings.simplefilter("ignore")
    print("on stdout")

class Changing(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Zoo(zoo="lenet_mnist").load(Path()).module.net
    def forward(self, x):
        z = self.net(x)
        torch.manual_seed(3)
        torch.set_num_threads(2)
        warnings.simplefilter("ignore")
        return z

def factory_changes():
    net = Zoo(zoo="lenet_mnist").load(Path()).module.net
    change_all()
    return net

def forward_changes():
    return Changing()

def argv():
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", required=True)
    parser.parse_args()

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

def quantised():
    net = Zoo(zoo="lenet_mnist").load(Path()).module.net
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)

@torch.no_grad()
def under_no_grad(x, net):
    return net(x)

def no_gradient():
    net = Zoo(zoo="lenet_mnist").load(Path()).module.net
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net
        def forward(self, x):
            return under_no_grad(x, self.net)
    return Detached()

def forgot_super():
    class Net(nn.Module):
        def __init__(self):
            self.x = 1
    return Net()

def the_class():
    return nn.Linear
"""
ERRORS = (
    *("KeyError", "AttributeError", "AssertionError", "RuntimeError", "SystemExit", "RecursionError"),
    *("StopIteration", "MemoryError", "Silent"),
)
# where it raises, at which call of that kind, and the stage: with windows of 16, 40 samples are three batches
PLACES = {
    ("factory", 1): "load",
    ("forward", 1): "load",  # the first images, grey ones
    ("forward", 3): "load",  # the first images of the data, for the plan: a failure there is found by the inspection
    ("forward", 5): "inspect",  # the second batch of the clean images
    ("recorded", 1): "inspect",
    ("recorded", 4): "attack",  # the first batch of the attack, and the second
    ("recorded", 5): "attack",
    ("backward", 1): "attack",
    ("backward", 2): "attack",
    ("judge", 99): "judge",
}


def entry(factory: str, **more) -> dict:
    return {"python": f"nets.py:{factory}", "size": [1, 28, 28], "classes": 10, "trust": True, **more}


def suite(folder, models, attacks=({"fgsm": {"epsilon": 0.1}},), data=None):
    (folder / "nets.py").write_text(NETS)
    data = data or {"mnist": {"samples": 40, "stratified": True}}
    plain = {"version": 1, "name": "t", "data": data, "models": list(models), "attacks": list(attacks)}
    return load(plain, root=folder)


def execute(loaded, folder, **options):
    return run_suite(loaded, Options(results=folder / "r", batch_size=16, **options)).cells().set_index("source")


def robust(results_folder) -> dict[str, float]:
    import pandas as pd

    frame = pd.read_parquet(results_folder / "r" / "t" / "samples")
    frame["robust"] = frame["clean_correct"] & (frame["adv_pred"] == frame["label"])
    return frame.groupby("model")["robust"].mean().to_dict()


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_at_every_place_fails_its_cell_with_place_stage_and_traceback(error, tmp_path):
    made = [
        entry("make", args={"error": error, "where": where, "at": at}, name=f"{where} {at}") for where, at in PLACES
    ]
    loaded = suite(tmp_path, [*made, "lenet_mnist"])
    cells = execute(loaded, tmp_path)
    assert cells.loc["lenet_mnist", "status"] == "ok"
    assert cells.loc["lenet_mnist", ["stage", "traceback"]].isna().all()
    line = 1 + NETS.splitlines().index('    raise ERRORS[error]("planted")  # HERE')
    for (where, at), stage in PLACES.items():
        row = cells.loc[f"{where} {at}"]
        assert row["status"] == "failed", where
        assert f"nets.py line {line}" in row["error"], row["error"]
        assert "\n" not in row["error"]
        assert error in row["traceback"] or where == "factory"
        assert excerpt(row["traceback"])[-1].endswith("# HERE")
        assert row["stage"] == ("inspect" if (where, at) == ("forward", 3) else stage), (where, at, row["error"])


@pytest.mark.parametrize("error", ["KeyError", "SystemExit", "Silent"])
def test_plan_shows_what_fails_before_the_attack(error, tmp_path):
    places = [("factory", 1), ("forward", 1), ("recorded", 1), ("backward", 1)]
    made = [entry("make", args={"error": error, "where": where, "at": at}, name=where) for where, at in places]
    loaded = suite(tmp_path, [*made, "lenet_mnist"])
    states = {row["source"].text: row["state"].text for row in preview(loaded, Options(results=tmp_path / "r")).rows}
    assert states.pop("lenet_mnist") == "to run"
    for where, text in states.items():
        assert text.startswith(f"fails: {where}: ") and "nets.py line" in text


def test_an_exception_that_calls_itself_an_interrupt_is_a_failed_cell(tmp_path):
    """A real one is a signal: tests/guards/test_foreign.py."""
    loaded = suite(tmp_path, [entry("make", args={"error": "KeyboardInterrupt", "where": "recorded", "at": 3})])
    execute(loaded, tmp_path)


def test_a_bug_of_ours_is_an_internal_error(tmp_path):
    code = (
        "import robustbench_lite.runner.run as r; r.plan = lambda *_: 1 / 0\n"
        "from robustbench_lite.cli.verbs import main; main()"
    )
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(suite(tmp_path, ["lenet_mnist"]).resolved()))
    import subprocess

    command = [sys.executable, "-c", code, "run", str(path), "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "ZeroDivisionError" in done.stderr and "this is a bug of robustbench_lite" in done.stderr


def test_run_prints_where_a_failed_cell_failed(tmp_path):
    path = tmp_path / "s.yaml"
    model = entry("make", args={"error": "KeyError", "where": "recorded", "at": 3})
    path.write_text(json.dumps(suite(tmp_path, [model]).resolved()))
    done = cli("run", str(path), "--results", str(tmp_path / "r"))
    assert done.returncode == 3
    assert 'fail(self.error)\n  File "' in done.stderr
    assert "# HERE" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("argv", "argv: nets.py:argv ended the program with 2 (nets.py line"),
        ("lazy", "1.weight is not initialised (a lazy module)"),
        ("no_gradient", "gives no gradient in the image, which this attack needs"),
        ("quantised", "change with the batch size or with the other images of a batch"),
        ("forgot_super", "AttributeError"),
        ("the_class", "returned type, expected an nn.Module; return an instance of it"),
    ],
)
def test_what_cannot_be_attacked_is_one_sentence(factory, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["robustbench-lite", "--checkpoint", "ours"])
    cell = execute(suite(tmp_path, [entry(factory)]), tmp_path).iloc[0]
    assert cell["status"] == "failed"
    assert sentence in cell["error"]


def state() -> list:
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
        torch.get_rng_state().tolist(),
        [str(part) for part in np.random.get_state()],  # noqa: NPY002  (the global one)
        random.getstate(),
        np.geterr(),
        Path.cwd(),
        list(sys.argv),
        list(sys.path),
        sys.getrecursionlimit(),
        list(warnings.filters),
        list(sys.meta_path),
    ]


@pytest.mark.parametrize("factory", ["factory_changes", "forward_changes"])
def test_a_classifier_that_changes_global_state_does_not_change_the_others(factory, tmp_path, capsys):
    """Digits' reference: PGD (0.1, 5 steps) leaves 77.5 % of 40 robust, FGSM 82.5 %."""
    pgd = {"pgd": {"epsilon": 0.1, "steps": 5}}
    loaded = suite(tmp_path, [entry(factory), "lenet_mnist"], [pgd])
    torch.backends.cudnn.benchmark = False  # `run_suite` itself says so
    before = state()
    cells = execute(loaded, tmp_path)
    numbers = 7  # random ones: those of our own bracket
    assert state()[:numbers] + state()[numbers + 1 :] == before[:numbers] + before[numbers + 1 :]
    assert list(cells["status"]) == ["ok", "ok"], list(cells["error"])
    assert robust(tmp_path) == {factory: 0.775, "lenet_mnist": 0.775}
    assert capsys.readouterr().out == ""


def test_state_is_restored_after_an_error_too():
    def change_and_fail():
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)  # noqa: NPY002  (the global one)
        sys.path.append("nowhere")
        return 1 / 0

    before = state()
    with pytest.raises(ModelError, match="x: ZeroDivisionError"), undisturbed(), blamed("x", ModelError, "load"):
        change_and_fail()
    assert state() == before


def test_args_reach_the_factory_and_tell_classifiers_apart(tmp_path):
    (tmp_path / "wide.py").write_text(
        "import torch\nfrom torch import nn\ndef make(width=1, depth=1):\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))\n"
    )
    made = [
        {"python": "wide.py:make", "size": [1, 28, 28], "classes": 10, "trust": True, "args": args}
        for args in ({}, {"width": 2}, {"width": 3, "depth": 1})
    ]
    cells = execute(suite(tmp_path, made), tmp_path)
    assert list(cells.index) == ["make", "make(width=2)", "make(width=3, depth=1)"]
    assert set(cells["status"]) == {"ok"}
    assert len(set(cells["weights"])) == 3


@pytest.mark.parametrize("error", [KeyError, RuntimeError, SystemExit, RecursionError, MemoryError])
def test_whatever_reading_data_raises_fails_the_cells_of_those_data(error, tmp_path, monkeypatch):
    from robustbench_lite.datasets.folder import Folder

    def read(self, root):
        raise error("planted")

    monkeypatch.setattr(Folder, "load", read)
    data = {"good": {"bundled": "mnist", "samples": 4}, "bad": {"folder": "anything"}}
    loaded = suite(tmp_path, ["lenet_mnist"], data=data)
    assert [row["state"].text.split(":")[0] for row in preview(loaded, Options(results=tmp_path)).rows] == [
        "to run",
        "fails",
    ]
    cells = run_suite(loaded, Options(results=tmp_path / "r")).cells().set_index("dataset")
    assert cells.loc["good", "status"] == "ok"
    row = cells.loc["bad"]
    assert (row["status"], row["stage"]) == ("failed", "load")
    assert row["error"].startswith(f"bad: {error.__name__}: ")
    assert f"\n{error.__name__}: " in row["traceback"]
