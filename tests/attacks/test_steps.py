"""Steps that several attacks take, against PyTorch's own; and which of several successes counts."""

from __future__ import annotations

import math

import kornia
import pytest
import torch

from robustbench_lite.attacks import _colour
from robustbench_lite.attacks._steps import Adam, descend
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU, attack, images, mlp


def test_adam_of_every_sample_is_that_of_pytorch_wherever_each_of_them_began():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(9, 3, 2, 4, 4, generator=generator)
    late = 4  # the second sample begins again here
    taken, adam, x = torch.zeros(3, dtype=torch.int64), Adam.fresh(gradients[0]), torch.zeros_like(gradients[0])
    for step, gradient in enumerate(gradients):
        if step == late:
            restarted = torch.tensor([False, True, False])
            adam, taken = adam.reset(restarted), torch.where(restarted, 0, taken)
            x = x * ~restarted[:, None, None, None]
        taken = taken + 1
        way, adam = adam.step(gradient, taken)
        x = x - 0.1 * way
    for row, first in ((0, 0), (1, late), (2, 0)):
        reference = torch.zeros_like(x[row])
        optimizer = torch.optim.Adam([reference], lr=0.1)
        for gradient in gradients[first:]:
            reference.grad = gradient[row]
            optimizer.step()
        assert torch.allclose(x[row], reference, atol=1e-6)


def test_descent_is_adam_with_cosine_annealing():
    x, aim = torch.zeros(5), torch.linspace(-1, 1, 5)
    found = descend(x, lambda at, _: at - aim, lambda at: at.clamp(-0.7, 0.7), steps=60, rate=0.1)
    reference = torch.zeros(5)
    optimizer = torch.optim.Adam([reference], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
    for _ in range(60):
        reference.grad = reference - aim
        optimizer.step()
        schedule.step()
        reference.clamp_(-0.7, 0.7)
    assert torch.allclose(found, reference, atol=1e-6)
    assert torch.equal(x, torch.zeros(5))  # where it began is not changed


def test_signed_descent_goes_as_far_as_its_steps_are_long_in_sum():
    found = descend(
        torch.zeros(3), lambda at, _: torch.tensor([1.0, -2, 0]), lambda at: at, steps=8, rate=1, signed=True
    )
    far = sum((1 + math.cos(math.pi * step / 8)) / 2 for step in range(8))
    assert found.tolist() == pytest.approx([-far, far, 0])


def test_the_distance_of_colours_and_its_gradient_are_those_of_kornia():
    seen, clean = images(4, (3, 5, 5)).requires_grad_(), images(4, (3, 5, 5), seed=2)
    far = (kornia.color.rgb_to_lab(seen) - kornia.color.rgb_to_lab(clean)).flatten(1).norm(dim=1)
    assert torch.allclose(_colour.distance(seen, clean), far)
    (expected,) = torch.autograd.grad(far.sum(), seen)
    assert torch.allclose(_colour.slope(seen, clean), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(_colour.slope(clean, clean), torch.zeros_like(clean))


@pytest.mark.parametrize("wide", [1, 3])
def test_a_gradient_through_a_transform_is_that_of_the_whole_and_counts_once(wide):
    net, x, goal = mlp(), images(4), Goal(torch.zeros(4 * wide, dtype=torch.int64), 5)
    transform = lambda x: x.repeat(wide, 1, 1, 1).flip(3) * torch.linspace(0.5, 1, len(x) * wide)[:, None, None, None]
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(goal.loss(net(transform(leaf))).sum(), leaf)
    oracle, row = Oracle(net, CPU), torch.arange(4).repeat(wide)
    oracle.open(4)
    found, view = oracle.through(x, transform, lambda view: view.gradient(goal.seed(view.logits))[0], row)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(view.leaf.detach(), transform(x))
    assert oracle.ledger.counts[:, :2].tolist() == [[wide, wide]] * 4
    assert not x.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_among_successes_of_pgd_the_largest_margin_counts_however_little_it_is_larger(norm):
    seen: list[torch.Tensor] = []

    class Recorded(torch.nn.Module):
        """Success from the start, and log-odds that differ by hundredths from step to step."""

        def forward(self, x):
            wave = 0.1 * torch.sin(40 * x.flatten(1).mean(1))
            logits = torch.stack([torch.zeros_like(wave), 2 + wave], 1)
            seen.append(logits.detach())
            return logits

    x, goal = images(6), Goal(torch.zeros(6, dtype=torch.int64), 2)
    params = {"norm": norm, "epsilon": 0.1 if norm == "linf" else 0.6, "steps": 12, "restarts": 2, "stop": "never"}
    outcome = attack(attacks.build("pgd", params), Recorded(), x, 6, goal)
    losses = torch.stack([goal.loss(logits) for logits in seen[1:]])  # the first was the clean image
    reached = goal.loss(Recorded()(outcome.candidates))
    assert (losses.amax(0) - losses.amin(0) < 0.25).all()
    assert (losses.amax(0) - losses.median(0).values > 1e-3).any()
    assert torch.allclose(reached, losses.amax(0), atol=1e-6)
