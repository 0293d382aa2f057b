"""Noise of the size of a budget, the control."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks.noise import Noise
from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.threat.box import stretched_within
from robustbench_lite.threat.norms import size
from tests.attacks.test_attacks import digits, halves, placed
from tests.helpers import attack, images, mlp

NORMS = ["linf", "l2", "l1"]
SIZES = {"linf": 0.2, "l2": 2.0, "l1": 20.0}


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
@pytest.mark.parametrize("norm", NORMS)
def test_noise_has_the_size_of_the_budget_also_where_the_box_binds(norm, kind):
    x = digits(20)[1]
    found = attack(Noise(norm=norm, epsilon=SIZES[norm], kind=kind), mlp(shape=(1, 28, 28)), x).candidates
    used = size(found - x, norm) / SIZES[norm]
    assert used.max() <= 1 + 1e-5
    assert used.min() >= (0.6 if norm == "linf" else 0.999)  # linf: the largest number may be one that the box stops
    assert found.min() >= 0
    assert found.max() <= 1
    assert ((found - x).flatten(1) != 0).float().mean() > 0.4  # half of what a digit allows


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_what_is_stretched_keeps_its_direction_but_for_the_box(norm):
    x, way = images(30), images(30, seed=3) - 0.5
    r = stretched_within(x, way, norm, 1.5)
    free = ((x + r) > 1e-6) & ((x + r) < 1 - 1e-6)
    ratio = torch.where(free, r / way, torch.nan).flatten(1)
    assert torch.allclose(ratio.nan_to_num(-1).amax(1), ratio.nan_to_num(99).amin(1), rtol=1e-3)
    assert torch.allclose(size(r, norm), torch.tensor(1.5), rtol=1e-4)
    everything = stretched_within(x, way, norm, 1e6)
    assert torch.allclose(x + everything, (way > 0).float(), atol=1e-6)


def test_more_draws_break_more_and_stop_at_the_first_success():
    net, x = mlp(), images(60)
    label = net(x).argmax(1)
    few, many = (attack(Noise(epsilon=0.3, draws=n), net, x) for n in (1, 20))
    broken = [net(outcome.candidates).argmax(1) != label for outcome in (few, many)]
    assert (broken[1] | ~broken[0]).all()
    assert broken[1].sum() > broken[0].sum()
    assert (few.forwards == 1).all()
    assert (many.forwards[~broken[1]] == 20).all()
    assert (many.forwards[broken[1]] < 20).any()
    assert (many.backwards == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_noise_does_nothing_impossible_and_less_than_an_attack(norm):
    x = placed("anywhere")
    net, _, exact = halves(x, norm)
    label = net(x).argmax(1)
    epsilon = float(exact[exact.isfinite()].median()) * 1.5
    won = [
        net(attack(record, net, x).candidates).argmax(1) != label
        for record in (Noise(norm=norm, epsilon=epsilon, draws=10), PGD(norm=norm, epsilon=epsilon))
    ]
    assert not (won[0] & (exact > epsilon * 1.0001)).any()
    assert not (won[0] & ~won[1]).any()
    assert won[0].sum() < won[1].sum()
