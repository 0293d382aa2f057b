"""What holds of every registered defence: an image is answered alone, and who knows the defence has a gradient."""

from __future__ import annotations

import copy

import pytest
import torch

import robustbench_lite as rbl
from robustbench_lite.defenses import BitDepth, Defense, defenses
from robustbench_lite.engine.inspection import Scorer, looked
from robustbench_lite.errors import UsageError
from robustbench_lite.models.finish import content_hash
from tests.helpers import CPU

# small, so that every test is quick
SMALL = {"defense_gan": {"generator": "wgan_gp_mnist", "steps": 5, "restarts": 2}, "randomized_smoothing": {"times": 5}}
OTHER = {
    "defense_gan": {"steps": 6},
    "jpeg": {"quality": 10},
    "bit_depth": {"bits": 1},
    "median": {"size": 5},
    "random_resize_pad": {"least": 0.5},
    "randomized_smoothing": {"sigma": 0.5},
}


@pytest.fixture(scope="module")
def net():
    return rbl.models.load("lenet_mnist")


@pytest.fixture(scope="module")
def x():
    return rbl.datasets.load("mnist", samples=9)[0]


@pytest.fixture(params=list(defenses))
def defense(request) -> Defense:
    return defenses.build(request.param, SMALL.get(request.param))


def test_an_image_is_answered_alone_whoever_asks(defense, net, x):
    """The inspection of a run asks in batches of 1, 7 and B, twice, and with gradients on and off."""
    looked(Scorer(defense.registered, defense(net), CPU, 9), x, 10)
    backwards = defense(net)(x.flip(0)).flip(0)
    assert torch.allclose(backwards, defense(net)(x), atol=1e-4)


def test_what_the_classifier_is_shown_has_the_shape_of_the_image(defense, x):
    for number in range(min(2, defense.draws)):
        seen = defense.see(x, number)
        assert seen.shape == x.shape and seen.dtype == x.dtype and seen.isfinite().all()


def test_who_knows_it_has_a_gradient_in_every_image_of_its_own(defense, net, x):
    leaf = x[:3].clone().requires_grad_()
    logits = defense(net)(leaf)
    gradient = torch.autograd.grad(logits[0, :5].sum(), leaf)[0]
    assert gradient[0].any() and not gradient[1:].any() and gradient.isfinite().all()


def test_the_module_that_is_defended_stays_as_it_is(defense, net, x):
    own = copy.deepcopy(net).train()
    guarded = defense(own)
    assert guarded.training and own.training and guarded.net is own
    assert torch.equal(own.eval()(x), net(x))


def test_parameters_tell_two_of_them_apart(defense, net):
    other = defense.model_copy(update=OTHER[defense.registered])
    assert content_hash(defense(net)) != content_hash(other(net)) != content_hash(net)
    assert content_hash(defense(net)) == content_hash(defense(net))


def test_what_is_no_module_is_refused():
    with pytest.raises(UsageError, match=r"bit_depth: expected an nn.Module to stand in front of, got function"):
        BitDepth()(lambda x: x)
