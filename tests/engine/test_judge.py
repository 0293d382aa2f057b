"""The judge believes nobody."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.engine import judge as judging
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.judge import Panel, eight_bit, judge
from robustbench_lite.threat.box import steepest_within
from robustbench_lite.threat.draws import keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.transforms.distribution import Distribution, operations
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


@pytest.mark.parametrize("name", ["pgd", "deepfool", "fgsm"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_same_verdicts_however_many_rows_are_measured_at_once(monkeypatch, name, norm):
    x = images(23)
    moved = (x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    params = {} if name == "deepfool" else {"norm": norm, "epsilon": 0.1 if norm == "linf" else 0.3}
    together = verdicts(moved, x, params, name)
    for numbers in (1, 3 * x[0].numel(), 10 * x[0].numel()):
        monkeypatch.setattr(judging, "_NUMBERS", numbers)
        found = verdicts(moved, x, params, name)
        assert found.fault == together.fault and found.sizes.keys() == together.sizes.keys()
        assert torch.equal(found.success_8bit, together.success_8bit) and torch.equal(found.success, together.success)
        for key, value in together.sizes.items():
            torch.testing.assert_close(found.sizes[key], value, rtol=1e-12, atol=0)


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
    found = verdicts(x - 0.9, x, {"epsilon": 1.0, "clip": False}, "fgsm")
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
    expected = {"l0": 1, "l0_components": 2, "l1": 0.7, "l2": 0.5, "linf": 0.4, "rho": 0.5 / 3**0.5, "rho_linf": 0.8}
    expected |= {"rho_l0": 2 / 12, "rho_l1": 0.7 / 6}
    for name, value in expected.items():
        assert found.sizes[name].item() == pytest.approx(value, rel=1e-6)
    assert found.sizes["rmsd"].item() == pytest.approx(255 * 0.5 / 12**0.5, rel=1e-6)


class Overflows(torch.nn.Module):
    """Logits that are not finite where the first number of an image is above `above`."""

    def __init__(self, above, how=float("nan")):
        super().__init__()
        self.net, self.above, self.how = mlp(), above, how

    def forward(self, x):
        return torch.where(x.flatten(1)[:, :1] > self.above, self.how, self.net(x))


@pytest.mark.parametrize("how", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("label", [0, 1])
def test_logits_that_are_not_finite_are_a_fault_whatever_argmax_makes_of_them(how, label):
    x = images(8) * 0.5
    candidates = x.clone()
    candidates[:4, 0, 0, 0] = 0.51
    goal = Goal(torch.full((8,), label), 5)
    record = attacks.build("deepfool")
    found = judge(record, Overflows(0.505, how), x, candidates, goal)
    assert found.fault == ["logits not finite"] * 4 + [""] * 4
    assert not found.success[:4].any()
    assert not found.success_8bit[:4].any()
    assert found.margin.isfinite().all()
    honest = judge(record, mlp(), x, candidates, goal)
    assert torch.equal(found.success[4:], honest.success[4:])


def test_logits_that_rounding_to_8_bits_makes_infinite_are_no_success():
    x = torch.full((1, 1, 6, 6), 0.5)
    candidate = x.clone()
    candidate[0, 0, 0, 0] = 127.6 / 255  # is saved as 128, above
    goal = Goal(1 - mlp()(x).argmax(1).clamp_max(1), 5)
    found = judge(attacks.build("deepfool"), Overflows(127.9 / 255), x, candidate, goal)
    assert found.success.item()
    assert not found.success_8bit.item()


def test_views_that_are_not_finite_are_named():
    x = torch.stack([torch.full((1, 6, 6), 0.2), torch.full((1, 6, 6), 0.9)])
    views = Distribution((operations.build("brightness", {"add": [-0.05, 0.05]}),))
    panel = Panel(views, Overflows(0.5), torch.device("cpu"), 64, 30, 0, ["a", "b"])
    _, broken = panel.columns(x, x, torch.zeros(2, dtype=torch.int64), Goal(torch.zeros(2).long(), 5))
    assert broken.tolist() == [False, True]


def test_sample_ids_are_hashed_once_however_many_chunks_of_views_there_are(monkeypatch):
    hashed = []
    monkeypatch.setattr("robustbench_lite.engine.judge.keys", lambda *of: hashed.append(of) or keys(*of))
    x = images(3)
    views = Distribution((operations.build("brightness", {"add": [-0.05, 0.05]}),))
    panel = Panel(views, mlp(), torch.device("cpu"), 2, 30, 0, ["a", "b", "c"])
    panel.columns(x, x, torch.zeros(3, dtype=torch.int64), Goal(torch.zeros(3).long(), 5))  # 90 chunks
    panel.logits(x)
    assert len(hashed) == 1


def saved(x, candidates, **params):
    images, within = eight_bit(attacks.build("pgd", params), x, candidates)
    assert torch.allclose(images * 255, (images * 255).round(), atol=1e-4)
    return images, within


def test_halves_are_rounded_up_as_image_libraries_do():
    half = torch.tensor([0.5, 1.5, 2.5, 3.5, 253.5]).view(1, 1, 1, 5).double() / 255
    images, _ = eight_bit(attacks.build("deepfool"), torch.zeros(1, 1, 1, 5), half)
    assert (images * 255).round().flatten().tolist() == [1, 2, 3, 4, 254]


@pytest.mark.parametrize(
    ("norm", "epsilon"), [("linf", 0.1), ("linf", 8 / 255), ("linf", 0.5 / 255), ("l2", 0.5), ("l1", 6.1)]
)
def test_the_saved_image_is_within_the_budget_and_next_to_the_candidate(norm, epsilon):
    """Rounding alone leaves the budget: 0.1 is 25.5 levels, and half a level on every number is 0.06 in l2."""
    x = (images(16, (3, 16, 16)) * 255).round() / 255
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    r = steepest_within(x, way, norm, epsilon)
    candidates = (x + r).clamp(0, 1)
    rounded = (candidates.double() * 255 + 0.5).floor() / 255
    assert (size(rounded - x.double(), norm) > epsilon * (1 + 1e-5) + 1e-6).any() or epsilon == 8 / 255
    found, within = saved(x, candidates, norm=norm, epsilon=epsilon)
    assert within.all()
    used = size(found.double() - x.double(), norm)
    assert (used <= epsilon * (1 + 1e-5) + 1e-6).all()
    levels = int(255 * epsilon + 1e-6)
    if norm == "linf":
        assert torch.equal(((found - x) * 255).abs().amax((1, 2, 3)).round(), torch.full((16,), float(levels)))
    else:
        assert (used > 0.9 * epsilon).all()


def test_where_no_8_bit_image_is_within_the_budget_there_is_no_success():
    x = torch.full((1, 1, 6, 6), 0.4 / 255)
    _, within = saved(x, x, epsilon=0.1 / 255)
    assert not within.any()
    goal = Goal((mlp()(x).argmax(1) + 1) % 5, 5)
    found = judge(attacks.build("pgd", {"epsilon": 0.1 / 255}), mlp(), x, x, goal)
    assert found.success.item()
    assert not found.success_8bit.item()
