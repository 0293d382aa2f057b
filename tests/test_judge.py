"""The judge believes nobody."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attack import attacks
from robustbench_lite.judge import judge
from robustbench_lite.threat import Goal
from tests.helpers import images, mlp


def verdicts(candidates, x, params=None, name="pgd", net=None):
    net = net or mlp()
    goal = Goal(net(x).argmax(1), 5)
    return judge(attacks.build(name, params or {}), net, x, candidates, goal)


def test_clean_images_are_no_success():
    x = images(8)
    found = verdicts(x, x)
    assert not found.success.any()
    assert (found.margin < 0).all()
    assert found.sizes["l2"].max() == 0
    assert found.fault == [""] * 8


@pytest.mark.parametrize(
    ("cheat", "fault"),
    [
        (lambda x: x + 0.5, "leaves [0, 1]"),
        (lambda x: 1 - x, "exceeds epsilon"),
        (lambda x: x * float("nan"), "not finite"),
        (lambda x: x + float("inf"), "not finite"),
    ],
)
def test_a_cheating_attack_scores_nothing(cheat, fault):
    x = images(8)
    found = verdicts(cheat(x), x)
    assert not found.success.any()
    assert not found.success_8bit.any()
    assert all(fault in text for text in found.fault)


def test_the_budget_has_room_for_rounding_only():
    x = images(8) * 0.5 + 0.25
    just = x + 8 / 255 * (1 + 5e-6)
    over = x + 8 / 255 * 1.001
    assert verdicts(just, x).fault == [""] * 8
    assert all("exceeds epsilon" in text for text in verdicts(over, x).fault)


def test_unclipped_attacks_may_leave_the_box_but_not_in_8_bits():
    x = images(8)
    found = verdicts(x - 1.5, x, {"epsilon": 2.0, "clip": False}, "fgsm")
    assert found.fault == [""] * 8


def test_a_success_that_rounding_undoes_is_told_apart():
    class Sharp(torch.nn.Module):
        def forward(self, x):
            first = x.flatten(1)[:, :1]
            return torch.cat([first * 0, (first - 0.5 - 1e-4) * 100], 1)

    x = torch.full((1, 1, 2, 2), 127 / 255)
    candidate = x.clone()
    candidate[0, 0, 0, 0] = 0.50015  # rounds to 128 / 255 = 0.50196, which is a success too
    sharp = Sharp()
    goal = Goal(torch.tensor([0]), 2)
    record = attacks.build("deepfool")
    assert judge(record, sharp, x, candidate, goal).success_8bit.item()
    candidate[0, 0, 0, 0] = 0.5001001 + 1e-5
    low = torch.where(candidate == candidate[0, 0, 0, 0], 127.4 / 255, candidate)

    class Low(Sharp):
        def forward(self, x):
            first = x.flatten(1)[:, :1]
            return torch.cat([first * 0, (first - 127.3 / 255) * 100], 1)

    found = judge(record, Low(), x, low, goal)
    assert found.success.item()
    assert not found.success_8bit.item()


def test_sizes_are_what_their_names_say():
    x = torch.full((1, 3, 2, 2), 0.5)
    candidate = x.clone()
    candidate[0, 0, 0, 0] += 0.3
    candidate[0, 1, 0, 0] -= 0.4
    found = verdicts(candidate, x, {"epsilon": 1.0}, net=mlp(shape=(3, 2, 2)))
    expected = {"l0": 1, "l1": 0.7, "l2": 0.5, "linf": 0.4, "rho": 0.5 / 3**0.5, "rho_linf": 0.8}
    for name, value in expected.items():
        assert found.sizes[name].item() == pytest.approx(value, rel=1e-6)
    assert found.sizes["rmsd"].item() == pytest.approx(255 * 0.5 / 12**0.5, rel=1e-6)
