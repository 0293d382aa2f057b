"""Random classifiers: the mean over draws of their own randomness, the same whoever asks, and for whatever batch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite.engine.expectation import Expectation
from robustbench_lite.guards.generators import seeded
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.trust.smell import doubts
from tests.helpers import images, mlp


class Noisy(nn.Module):
    """A net behind noise from all three generators."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        shift = random.random() + np.random.rand()  # noqa: NPY002
        return self.net(x + 0.05 * torch.randn_like(x) + 0.01 * shift)


def test_it_is_the_log_of_the_mean_probability_over_seeded_draws():
    net, x = Noisy(mlp()), images(6)
    expected = torch.zeros(6, 5, dtype=torch.float64)
    for draw in range(4):
        for i in range(6):
            with seeded(draw):
                expected[i] += net(x[i : i + 1])[0].double().softmax(0) / 4
    torch.testing.assert_close(Expectation(net, 4)(x), expected.log().float(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(net(x), net(x))


def test_batches_places_and_calls_make_no_difference_and_no_generator_is_moved():
    net, x = Expectation(Noisy(mlp()), 3), images(8)
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    whole = net(x)
    torch.testing.assert_close(torch.cat([net(part) for part in x.split(3)]), whole, rtol=0, atol=0)
    torch.testing.assert_close(net(x.flip(0)).flip(0), whole, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


def test_its_gradient_is_that_of_the_mean():
    net, x = Expectation(Noisy(mlp().double()), 3), images(4).double()
    assert torch.autograd.gradcheck(lambda x: net(x).double(), x.requires_grad_(), eps=1e-3, atol=1e-2, rtol=1e-2)


def test_a_suite_says_what_to_do_and_does_it(tmp_path):
    (tmp_path / "net.py").write_text(
        "from pathlib import Path\nimport torch\nfrom torch import nn\nfrom robustbench_lite.models.zoo import Zoo\n"
        "class Noisy(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.net = Zoo(zoo='lenet_mnist').load(Path()).module\n"
        "    def forward(self, x):\n        return self.net(x + 0.1 * torch.randn_like(x))\n"
    )
    made = {"python": "net.py:Noisy", "size": [1, 28, 28], "classes": 10, "trust": True}
    entries = [made | {"name": f"mean{n}", "expectation": n} for n in (3, 4)] + [made | {"name": "random"}]
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 8}}, "images": "none"}
    suite = load({**plain, "models": entries, "attacks": [{"pgd": {"epsilon": 0.3, "steps": 5}}]}, root=tmp_path)
    results = run_suite(suite, Options(results=tmp_path))
    cells = {cell["source"]: cell for cell in results.cell_table.to_pylist()}
    assert "say `expectation: 20` on this classifier" in cells["random"]["error"]
    assert {cells[name]["status"] for name in ("mean3", "mean4")} == {"ok"}
    assert len({cell["weights"] for cell in cells.values()}) == 3
    assert any("the mean over 3 draws" in note for note in cells["mean3"]["notes"])
    assert not any(doubts(results).values())


def test_one_draw_at_least():
    with pytest.raises(Exception, match="expectation"):
        load({"version": 1, "name": "t", "data": {"mnist": {}}, "models": [{"zoo": "lenet_mnist", "expectation": 0}],
              "attacks": ["fgsm"]})  # fmt: skip
