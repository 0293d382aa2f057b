"""Gradients straight through what gives none: the same logits to the bit, and an attack as good as on the net."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.models.archs.straight import go_straight
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.trust.smell import doubts
from tests.helpers import images, mlp


class Rounded(nn.Module):
    def forward(self, x):
        return (15 * x).round() / 15


class Steps(nn.Module):
    def forward(self, x):
        return (x > 0).float() - 0.5


def test_the_outermost_shut_parts_are_found_and_nothing_changes_by_a_bit():
    inner = mlp()
    net = nn.Sequential(nn.Sequential(Rounded(), nn.Identity()), inner, Steps(), nn.Linear(5, 5)).eval()
    x = images(6)
    before = net(x)
    assert go_straight(net, x).taken == ["0", "2"]
    leaf = x.clone().requires_grad_()
    assert torch.equal(net(leaf), before)
    ours = torch.autograd.grad(net(leaf).square().sum(), leaf)[0]
    seed = 2 * before.detach() @ net[3].weight.detach()  # of the last layer, then straight through the steps
    rounded = (Rounded()(x)).requires_grad_()
    torch.testing.assert_close(ours, torch.autograd.grad(inner(rounded), rounded, seed)[0])


def test_honest_parts_keep_their_own_gradient():
    assert go_straight(mlp(), images(4)).taken == []


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    (folder / "net.py").write_text(
        "from pathlib import Path\nimport torch\nfrom torch import nn\nfrom robustbench_lite.models.zoo import Zoo\n"
        "class Rounded(nn.Module):\n    def forward(self, x):\n        return (15 * x).round() / 15\n"
        "def plain():\n    return Zoo(zoo='lenet_mnist').load(Path()).module\n"
        "def rounded():\n    return nn.Sequential(Rounded(), plain())\n"
    )
    made = {"size": [1, 28, 28], "classes": 10, "trust": True}
    entries = [
        {**made, "python": "net.py:plain"},
        {**made, "python": "net.py:rounded"},
        {**made, "python": "net.py:rounded", "name": "straight", "backward": "identity"},
        {**made, "python": "net.py:plain", "name": "nothing", "backward": "identity"},
    ]
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 12}}, "images": "none"}
    suite = load({**plain, "models": entries, "attacks": [{"pgd": {"epsilon": 0.2, "steps": 10}}]}, root=folder)
    return run_suite(suite, Options(results=folder))


def test_a_suite_attacks_through_it_and_says_where_there_is_nothing_to_go_through(results):
    cells = {cell["source"]: cell for cell in results.cell_table.to_pylist()}
    known = {name: doubts(results).get(cell["cell"], ()) for name, cell in cells.items()}
    assert "backward: identity: expected a part of the network that gives no gradient" in cells["nothing"]["error"]
    assert known["rounded"]
    assert known["straight"] == ()
    assert cells["straight"]["weights"] != cells["rounded"]["weights"]
    assert any("gradients go straight through" in note for note in cells["straight"]["notes"])
    samples = results.sample_table.to_pandas().groupby("model")["success"].mean()
    assert samples["straight"] > samples["rounded"]
    assert samples["straight"] >= samples["plain"] - 0.2
