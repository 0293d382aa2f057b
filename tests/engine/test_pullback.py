from __future__ import annotations

import os

import pytest
import torch

from robustbench_lite.engine.pullback import pullback
from robustbench_lite.errors import AttackError
from tests.forks import ROOT, finished
from tests.helpers import images, mlp

WITHOUT = """
import sys
from tests.helpers import attack, images, mlp
from robustbench_lite.attacks import attacks
attack(attacks.build("pgd", {"epsilon": 0.1, "steps": 2}), mlp(), images())
assert "torch" in sys.modules and not {"sympy", "torch.fx.experimental.symbolic_shapes"} & set(sys.modules)
"""


@pytest.mark.parametrize("seeds", [[1.0, -2.5, 0.0, 1e-30, 3e30], [0.1, -0.0, 0.3, torch.inf, 7.0]])
def test_it_is_that_of_autograd_to_the_bit(seeds):
    net, leaf = mlp(), images().requires_grad_()
    seed = torch.tensor(seeds) * torch.rand(len(leaf), 5, generator=torch.Generator().manual_seed(3))
    output = net(leaf)
    with torch.no_grad():
        ours = pullback(output, leaf, seed, again=True)
    torch.testing.assert_close(ours, torch.autograd.grad(output, leaf, seed)[0], rtol=0, atol=0, equal_nan=True)


def test_an_output_that_does_not_depend_on_the_leaf_is_said():
    other, leaf = images().requires_grad_(), images().requires_grad_()
    with pytest.raises(AttackError, match="no gradient in the image"):
        pullback(mlp()(other), leaf, torch.ones(len(leaf), 5))


def test_an_attack_loads_no_computer_algebra(tmp_path):
    (tmp_path / "without.py").write_text(WITHOUT)
    done = finished(["without"], tmp_path, os.environ | {"PYTHONPATH": str(ROOT)}, 60)
    assert done.returncode == 0, done.stderr
