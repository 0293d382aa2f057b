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
    mean = Expectation(net, 4)
    torch.testing.assert_close(mean(x), expected.log().float(), rtol=1e-4, atol=1e-5)
    assert mean.try_batches(x) == ""
    torch.testing.assert_close(mean(x), expected.log().float(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(net(x), net(x))


LAYERS = {
    "dropout": lambda x: nn.functional.dropout(x, 0.5, training=True),
    "dropout of channels": lambda x: nn.functional.dropout2d(x, 0.5, training=True),
    "in place": lambda x: x + torch.empty_like(x).normal_(),
    "of the batch's shape": lambda x: x + torch.randn(len(x), 1, 6, 6),
    "shifts": lambda x: x.roll(int(torch.randint(0, 6, (1,))), -1),
    "which branch": lambda x: x.flip(-1) if random.random() < 0.5 else x,
}
ALONE = {
    "values decide": lambda x: x.flip(-1) if bool(x.mean() + torch.rand(()) > 1) else x,
    "numpy": lambda x: x + torch.from_numpy(np.asarray(x.detach().numpy() > np.random.rand(), np.float32)),  # noqa: NPY002
    "normal around values": lambda x: torch.normal(x, 0.1),
}


class Layer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.net, self.seen = layer, mlp(), []

    def forward(self, x):
        self.seen.append(len(x))
        return self.net(self.layer(x))


@pytest.mark.parametrize("name", [*LAYERS, *ALONE])
def test_in_batches_every_image_gets_the_draws_that_it_gets_alone(name):
    net, x = Layer((LAYERS | ALONE)[name]).eval(), images(9)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    alone, batched = Expectation(net, 5), Expectation(net, 5)
    assert bool(batched.try_batches(x[:2])) is (name in ALONE)
    net.seen.clear()
    answers = [mean(leaf) for mean, leaf in zip((alone, batched), leaves, strict=True)]
    assert len(net.seen) == 45 + (45 if name in ALONE else 5)  # passes: an image each, or a batch each
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    slopes = [torch.autograd.grad(z[:, 0].sum(), leaf)[0] for z, leaf in zip(answers, leaves, strict=True)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-5)


def test_who_answers_otherwise_in_batches_is_asked_one_by_one():
    class Told(torch.autograd.Function):
        """Twice the image, where somebody has told it how to do that in batches: three times."""

        @staticmethod
        def forward(x):
            return 2 * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

        @staticmethod
        def vmap(info, dims, x):
            return 3 * x, dims[0]

    mean = Expectation(Layer(Told.apply).eval(), 3)
    assert mean.try_batches(images(2)) == "its logits are others then"
    torch.testing.assert_close(mean(images(4)), mlp()(2 * images(4)).log_softmax(1), rtol=1e-4, atol=1e-5)


def test_what_cannot_go_on_in_batches_goes_on_without():
    """In its third draw only, which nobody has tried."""
    layer = lambda x: x if torch.initial_seed() != 2 else ALONE["values decide"](x)
    mean, alone = (Expectation(Layer(layer).eval(), 4) for _ in range(2))
    assert mean.try_batches(images(2)) == ""
    torch.testing.assert_close(mean(images(5)), alone(images(5)), rtol=1e-4, atol=1e-5)
    assert "data-dependent control flow" in mean.alone


@pytest.mark.parametrize("batched", [False, True])
def test_batches_places_and_calls_make_no_difference_and_no_generator_is_moved(batched):
    net, x = Expectation(Noisy(mlp()), 3), images(8)
    assert not batched or net.try_batches(x) == ""
    close = {"rtol": 1e-5, "atol": 1e-6} if batched else {"rtol": 0, "atol": 0}  # products of other sizes are rounded
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    whole = net(x)
    torch.testing.assert_close(torch.cat([net(part) for part in x.split(3)]), whole, **close)
    torch.testing.assert_close(net(x.flip(0)).flip(0), whole, **close)
    assert torch.equal(net(x), whole)
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
