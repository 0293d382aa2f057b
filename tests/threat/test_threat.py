from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import dual_size, project, sample, size, steepest
from robustbench_lite.threat.ties import rounding, tie

NORMS = ["linf", "l2", "l1"]
seeds = st.integers(0, 10_000)


def vectors(seed: int, n: int = 5) -> torch.Tensor:
    return torch.randn((n, 2, 3, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("norm", NORMS)
@given(seeds, st.floats(0.01, 5))
@settings(max_examples=30, deadline=None)
def test_projection_is_the_nearest_point_of_the_ball(norm, seed, epsilon):
    r = vectors(seed)
    p = project(r, norm, epsilon)
    assert (size(p, norm) <= epsilon * (1 + 1e-9)).all()
    assert torch.allclose(project(p, norm, epsilon), p)  # idempotent
    inside = size(r, norm) <= epsilon
    assert torch.equal(p[inside], r[inside])
    # the nearest point z of a convex set satisfies <r - z, y - z> <= 0 for all y of the set
    y = project(vectors(seed + 1), norm, epsilon)
    assert (((r - p) * (y - p)).flatten(1).sum(1) <= 1e-9).all()


@pytest.mark.parametrize("norm", NORMS)
@given(seeds)
@settings(max_examples=20, deadline=None)
def test_steepest_attains_the_dual_norm(norm, seed):
    g = vectors(seed)
    d = steepest(g, norm)
    assert torch.allclose(size(d, norm), torch.ones(len(g), dtype=torch.float64))
    assert torch.allclose((g * d).flatten(1).sum(1), dual_size(g, norm))


@pytest.mark.parametrize("norm", NORMS)
def test_tiny_gradients_still_have_a_direction_and_zero_has_none(norm):
    g = vectors(3).float() * 1e-30
    assert torch.allclose(size(steepest(g, norm), norm), torch.ones(len(g)))
    assert not steepest(torch.zeros_like(g), norm).any()


@pytest.mark.parametrize("norm", NORMS)
def test_samples_fill_the_ball(norm):
    draw = Draw(keys(0, "a", [str(i) for i in range(2000)]))
    r = sample(draw, torch.zeros(2000, 1, 1, 2), norm, 0.5)
    radius = size(r, norm) / 0.5
    assert radius.max() <= 1 + 1e-5
    # uniform in a 2-dimensional ball: the radius has distribution function t^2
    assert abs((radius < 0.5**0.5).float().mean() - 0.5) < 0.04
    assert r.mean().abs() < 0.02


def test_goal_agrees_with_itself():
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.arange(200) % 6
    for goal in (Goal(label, 6), Goal(label, 6, targeted=True)):
        assert torch.equal(goal.reached(z), goal.margin(z) > 0)
        leaf = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(goal.loss(leaf).sum(), leaf)
        assert torch.allclose(goal.seed(z), gradient)


def test_the_seed_points_where_cross_entropy_does():
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    label = torch.arange(50) % 6
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(z, label, reduction="sum"), z)
    seed = Goal(label, 6).seed(z.detach())
    assert torch.allclose(torch.nn.functional.cosine_similarity(seed, gradient), torch.ones(50, dtype=torch.float64))


def test_a_saturated_classifier_still_has_a_gradient():
    z = torch.tensor([[200.0, 0.0, -10.0]], requires_grad=True)  # softmax rounds to exactly 1
    (peer,) = torch.autograd.grad(torch.nn.functional.cross_entropy(z, torch.tensor([0])), z)
    assert not peer.any()
    assert Goal(torch.tensor([0]), 3).seed(z.detach()).abs().max() == 1


def test_secured_is_stricter_than_reached_only_at_ties():
    one = torch.tensor(1.0)
    z = torch.stack([one, one.nextafter(2 * one)]), torch.tensor([1.0, 2.0]), torch.tensor([float("nan"), 1.0])
    goal = Goal(torch.tensor([0, 0, 0]), 2)
    assert goal.reached(torch.stack(z)).tolist() == [True, True, False]
    assert goal.secured(torch.stack(z)).tolist() == [False, True, False]
    assert goal.secured(torch.stack(z), torch.tensor([0.0, 2.0, 0.0])).tolist() == [False, False, False]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_the_rounding_of_a_gap_is_that_of_two_numbers_rounded_to_float32(scale):
    exact = scale * torch.rand((2, 10000), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = exact.float()
    off = ((first.double() - second.double()) - (exact[0] - exact[1])).abs()
    assert (off <= rounding(first, second)).all()
    assert float((off / rounding(first, second)).max()) > 0.4  # and no more than it takes


@pytest.mark.parametrize("other", [-1e3, -1e6, -1e9, float(-torch.finfo(torch.float32).max)])
def test_a_tie_is_between_two_classes_whatever_a_third_says(other):
    z = torch.tensor([[1.0, 1.001, other]])
    goal = Goal(torch.tensor([0]), 3)
    assert goal.secured(z).all()
    assert float(goal.pair(z, tie)) == pytest.approx(8 * 2.0**-23, rel=0.01)
    shifted = z + 1e5  # a step of float32 is 2^-7 there: 0.001 is lost, two steps are not
    assert not goal.secured(shifted).any()
    assert goal.secured(shifted + torch.tensor([[0, 2.0**-6, 0]])).all()
