"""A stand-in of the user's in the backward pass: verdicts of the classifier itself, gradients of the stand-in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.errors import ModelError, SuiteError, UsageError
from robustbench_lite.models import load as classifier
from robustbench_lite.models.archs.straight import go_straight
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.trust.smell import doubts
from tests.helpers import images, mlp

NET = """
import torch
from torch import nn
from pathlib import Path
from robustbench_lite.models.zoo import Zoo

class Levels(nn.Module):  # (N, 1, H, W) becomes (N, 15, H, W), with a gradient of zero
    def forward(self, x):
        return torch.cat([(x > (level + 0.5) / 15).float() + 0 * x for level in range(15)], 1)

class Sum(nn.Module):
    def forward(self, x):
        return x.mean(1, keepdim=True)

def make():
    return nn.Sequential(Levels(), Sum(), Zoo(zoo="lenet_mnist").load(Path()).module)
"""
SOFT = """
import torch
def soft(x):
    return torch.cat([(x - (level + 0.5) / 15).mul(20).sigmoid() for level in range(15)], 1)
def wide(x):
    return torch.cat([x] * 8, 1)
def failing(x):
    raise ValueError("not mine")
def rounded(x):
    return soft(x).round()
def text(x):
    return "x"
def mixing(x):
    return soft(x + x.flip(0))
def noisy(x):
    return soft(x + torch.randn_like(x))
class Soft(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(20.0))
    def forward(self, x):
        return torch.cat([(x - (level + 0.5) / 15).mul(self.slope).sigmoid() for level in range(15)], 1)
number = 3
"""
MADE = {"python": "net.py:make", "size": [1, 28, 28], "classes": 10, "trust": True}
PLAIN = {"version": 1, "name": "t", "data": {"mnist": {"samples": 12}}, "images": "none"}
PLAIN |= {"attacks": [{"pgd": {"epsilon": 0.3, "steps": 10}}]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "soft.py").write_text(SOFT)
    return tmp_path


def ran(folder, *models):
    suite = load({**PLAIN, "models": list(models)}, root=folder)
    return run_suite(suite, Options(results=folder, timing=False))


def named(name, stand_in, **more):
    return {**MADE, "name": name, "backward": f"python:{stand_in}", **more}


class Floor(nn.Module):
    def forward(self, x):
        return x.mul_(15).floor_().div_(15)  # in place


def test_the_gradient_is_the_stand_ins_and_the_logits_are_the_classifiers_to_the_bit():
    inner, slope = mlp(), torch.linspace(0.5, 1, 6)
    net, x = nn.Sequential(Floor(), inner).eval(), images(6)
    before = net(x.clone()).detach()
    assert go_straight(net, x, lambda x: x.square() * slope).taken == ["0"]
    leaf = x.clone().requires_grad_()
    logits = net(leaf.clone())
    assert torch.equal(logits, before)
    with torch.no_grad():
        assert torch.equal(net(x.clone()), before)
    floored = Floor()(x.clone()).requires_grad_()
    (behind,) = torch.autograd.grad(inner(floored).square().sum(), floored)
    torch.testing.assert_close(torch.autograd.grad(logits.square().sum(), leaf)[0], behind * 2 * x * slope)


def test_of_nested_parts_the_outermost_that_it_fits():
    def net():
        return nn.Sequential(nn.Sequential(Floor(), Floor()), nn.Flatten(), nn.Linear(36, 5)).eval()

    x = images(4)
    assert go_straight(net(), x, lambda x: 2 * x).taken == ["0"]
    assert go_straight(net(), x, lambda x: x.flatten(1)[:, :5]).taken == [""]  # for the whole


def test_pgd_breaks_with_a_stand_in_what_it_cannot_without(folder):
    results = ran(folder, MADE, named("soft", "soft.py:soft"), named("module", "soft.py:Soft"))
    cells = {cell["source"]: cell for cell in results.cell_table.to_pylist()}
    known = {name: doubts(results).get(cell["cell"], ()) for name, cell in cells.items()}
    assert {cell["status"] for cell in cells.values()} == {"ok"}
    frame = results.samples()
    broken = frame.groupby("model")["success"].mean()
    assert broken["soft"] == broken["module"] > 0.8
    assert broken["make"] < 0.2
    assert known["make"] and not known["soft"] and not known["module"]
    assert any("gradients go through soft.py:soft in the place of 0" in note for note in cells["soft"]["notes"])
    assert len({cell["weights"] for cell in cells.values()}) == 3
    clean = {name: list(rows["clean_pred"]) for name, rows in frame.groupby("model")}
    assert clean["soft"] == clean["make"]


@pytest.mark.parametrize(
    ("stand_in", "sentence"),
    [
        ("soft.py:wide", "0: (2, 1, 28, 28) became (2, 15, 28, 28), of which the stand-in makes (2, 8, 28, 28)"),
        ("soft.py:failing", "the stand-in makes nothing: ValueError: not mine (soft.py line 8, in failing)"),
        ("soft.py:rounded", "the stand-in gives no gradient either"),
        ("soft.py:text", "makes no tensor, but str"),
        ("soft.py:mixing", "the gradient of an image changes with the batch it is in"),
        ("soft.py:noisy", "one that is random needs `expectation: 20`"),
        ("soft.py:number", "expected a function of a tensor, an nn.Module or a class of such, got int"),
        ("soft.py:nothing", "'soft.py' has no 'nothing'"),
        ("other.py:soft", "no file 'other.py' under the suite's folder"),
    ],
)
def test_what_cannot_stand_in_is_one_sentence(folder, stand_in, sentence):
    (cell,) = ran(folder, named("m", stand_in)).cell_table.to_pylist()
    assert sentence in cell["error"]
    assert cell["error"].startswith("m: backward: ")
    assert (cell["stage"], "\n" in cell["error"]) == ("load", False)


def test_where_there_is_a_gradient_there_is_nothing_to_stand_in_for(folder):
    options = {"backward": f"python:{folder}/soft.py:soft", "trust": True}
    with pytest.raises(ModelError, match=r"gives no gradient, .*: every part gives one"):
        classifier("zoo:lenet_mnist", **options)


def test_a_random_one_is_attacked_as_the_mean(folder):
    (cell,) = ran(folder, named("m", "soft.py:noisy", expectation=3)).cell_table.to_pylist()
    assert cell["status"] == "ok"
    assert not any("one by one" in note for note in cell["notes"])  # in batches


def test_a_cell_is_known_by_the_code_that_it_runs(folder):
    (folder / "near.py").write_text("from steep import slope\ndef soft(x):\n    return slope(x)\n")

    def weights(stand_in, slope=20):
        body = SOFT.replace("mul(20)", f"mul({slope})") + "slope = soft\n"
        (folder / "steep.py").write_text(body)
        (cell,) = ran(folder, named("m", stand_in)).cell_table.to_pylist()
        return cell["weights"]

    first = weights("near.py:soft")
    assert weights("near.py:soft", 4) != first  # of a neighbour
    assert weights("near.py:soft") == first
    (folder / "renamed.py").write_bytes((folder / "near.py").read_bytes())
    assert weights("renamed.py:soft") == first


def test_it_needs_trust_and_a_plan_says_that_code_runs(folder):
    zoo = {"zoo": "lenet_mnist", "backward": "python:soft.py:soft"}
    with pytest.raises(SuiteError, match="'backward: python:' runs code that the suite names; say `trust: true`"):
        load({**PLAIN, "models": [zoo]}, root=folder)
    with pytest.raises(ModelError, match="say `trust: true`"):
        classifier("lenet_mnist", backward="python:soft.py:soft")
    plan = preview(load({**PLAIN, "models": [{**zoo, "trust": True}]}, root=folder), Options(results=folder))
    assert "runs code of yours: lenet_mnist" in plan.footnotes


def test_a_results_folder_is_verified_only_by_who_trusts_its_code(folder):
    (folder / "straight.py").write_text("def straight(x):\n    return x\n")
    entry = named("m", "straight.py:straight", python="rounded.py:make")
    (folder / "rounded.py").write_text(
        NET.replace("Levels(), Sum()", "Rounded()")
        + ("class Rounded(nn.Module):\n    def forward(self, x):\n        return (15 * x).round() / 15\n")
    )
    suite = load({**PLAIN, "models": [entry], "images": "all"}, root=folder)
    run_suite(suite, Options(results=folder, timing=False))
    with pytest.raises(
        UsageError,
        match=r"here: python: rounded.py:make, backward: python:straight.py:straight; that",
    ):
        verify(folder / "t")
    assert verify(folder / "t", trust=True).sound


@pytest.mark.parametrize("text", ["python:soft", "soft.py:soft", "python:soft.py:", "no"])
def test_what_is_no_name_is_refused_with_its_place(folder, text):
    with pytest.raises(SuiteError, match=r"models.0.backward: .*expected identity, python:package.module:name or"):
        load({**PLAIN, "models": [{"zoo": "lenet_mnist", "backward": text, "trust": True}]}, root=folder)


def test_a_file_that_is_not_there_is_found_by_validate(folder):
    entry = {"zoo": "lenet_mnist", "backward": "python:gone.py:soft", "trust": True}
    with pytest.raises(SuiteError, match=r"backward: no file 'gone.py'"):
        load({**PLAIN, "models": [entry]}, root=folder, files=True)
