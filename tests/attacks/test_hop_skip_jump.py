"""HopSkipJump on problems whose exact distance is known, by decisions alone."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks.hop_skip_jump import ESTIMATE, HopSkipJump
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.box import box_radius
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.attacks.test_attacks import digits, linear, placed
from tests.helpers import CPU, attack, images, mlp


def central(x, norm):
    """Two classes whose boundary goes through mid-grey, so that noise is on either side; exact radii in the box."""
    w = torch.randn(x[0].numel(), generator=torch.Generator().manual_seed(6))
    z = (x.flatten(1) - 0.5) @ w
    wide, below = w.view(1, *x.shape[1:]).expand_as(x), z < 0
    exact = torch.where(below, box_radius(x, wide, -z, norm), box_radius(x, -wide, z, norm))
    return linear(torch.stack([-w / 2, w / 2]), torch.stack([w.sum() / 4, -w.sum() / 4])), (~below).long(), exact, w


@pytest.mark.parametrize(("norm", "factor"), [("l2", 1.2), ("linf", 1.35)])
@pytest.mark.parametrize("kind", ["inside", "anywhere", "corners"])
def test_the_distance_is_within_some_per_cent_of_the_exact_one(kind, norm, factor):
    """After 2,000 decisions on 64 numbers; never less than the exact distance."""
    x = placed(kind)
    net, label, exact, _ = central(x, norm)
    far = exact.argsort(descending=True)[:12]
    x, label, exact = x[far], label[far], exact[far]
    found = attack(HopSkipJump(norm=norm, n_queries=2000), net, x, 128, Goal(label, 2)).candidates
    assert (net(found).argmax(1) != label).all()
    ratio = size(found - x, norm) / exact
    assert float(ratio.max()) < factor
    assert float(ratio.min()) > 0.999


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_more_queries_come_nearer_and_no_more_are_asked_than_allowed(norm):
    net, x, label = digits(12)
    outcomes = [attack(HopSkipJump(norm=norm, n_queries=n), net, x, 64, Goal(label, 10)) for n in (150, 900)]
    sizes = [size(outcome.candidates - x, norm) for outcome in outcomes]
    for outcome, n in zip(outcomes, (150, 900), strict=True):
        assert (net(outcome.candidates).argmax(1) != label).all()
        assert (outcome.forwards == n).all()
        assert (outcome.backwards == 0).all()
    assert (sizes[1] <= sizes[0]).all()  # the same draws, and then more
    assert sizes[1].mean() < 0.8 * sizes[0].mean()


def test_what_is_wrong_to_begin_with_costs_one_query():
    net, x = mlp(), images(20)
    outcome = attack(HopSkipJump(n_queries=50), net, x, goal=Goal((net(x).argmax(1) + 1) % 5, 5))
    assert torch.equal(outcome.candidates, x)
    assert (outcome.forwards == 1).all()


def test_it_starts_also_where_noise_of_single_pixels_is_not_adversarial():
    """The classifier sees the mean of the image alone, which such noise does not move."""

    class Mean(torch.nn.Module):
        def forward(self, x):
            mean = x.flatten(1).mean(1)
            return torch.stack([mean * 0, 100 * (mean - 0.6)], 1)

    x = 0.5 + 0.02 * (images(20, (1, 28, 28)) - 0.5)
    outcome = attack(HopSkipJump(n_queries=400), Mean().eval(), x, 20)
    assert (Mean()(outcome.candidates).argmax(1) == 1).all()


def test_a_class_that_nothing_leaves_is_given_up():
    class Same(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x.flatten(1).sum(1) * 0 + 1, x.flatten(1).sum(1) * 0], 1)

    x = images(2)
    outcome = attack(HopSkipJump(n_queries=5000), Same().eval(), x)
    assert (outcome.forwards < 1100).all()
    assert torch.equal(outcome.candidates, x)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_direction_is_that_of_the_gradient(norm):
    """On a linear classifier, from 100 probes of 64 numbers: far better than a random direction."""
    x = placed("inside")
    net, label, _, w = central(x, norm)
    record, oracle = HopSkipJump(norm=norm, n_queries=2000), Oracle(net, CPU, 512)
    state = record.start(x, Goal(label, 2), Draw(keys(0, "", [str(i) for i in range(len(x))])))
    oracle.open(len(x))
    for _ in range(60):
        state = record.step(oracle, state)
    assert (state.turn >= 1).all()
    toward = (1 - 2 * label[:, None]) * w[None]
    toward = toward.sign() if norm == "linf" else toward
    stepped = (state.phase != ESTIMATE) | (state.turn > 1)
    assert stepped.any()
    cosine = torch.nn.functional.cosine_similarity(state.way.flatten(1), toward, dim=1)[stepped]
    assert cosine.min() > 0.3
    assert cosine.mean() > 0.5
