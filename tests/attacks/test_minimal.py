"""Attacks that look for the smallest perturbation: exact answers, also where they begin at the image, as papers do."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks import CW, DDN, FMN, SigmaZero
from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import UsageError
from robustbench_lite.threat.box import box_radius
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import project, size
from tests.attacks.test_attacks import digits, halves, linear, placed
from tests.helpers import attack, images, mlp

KINDS = ["inside", "anywhere", "corners", "digits"]
WITHIN = [
    (FMN(norm="l2"), 1.02),
    (FMN(norm="linf"), 1.02),
    (FMN(norm="l1"), 1.02),
    (FMN(norm="l0"), 1.0),
    (DDN(), 1.02),
    (CW(), 1.03),
    (CW(box="tanh"), 1.03),
    (SigmaZero(steps=30), 1.0),
]
FROM_THE_IMAGE = [
    (FMN(norm="l2", candidates=None), 1.02),
    (FMN(norm="linf", candidates=None, steps=300), 1.02),
    (FMN(norm="l1", candidates=None, steps=300), 1.02),
    (DDN(candidates=None), 1.02),
    (CW(candidates=None, steps=150), 1.03),
]


def called(value: object) -> str:
    params = value.params() if hasattr(value, "params") else {}
    return " ".join([type(value).__name__, *(str(params[k]) for k in ("norm", "box") if k in params)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("record", "factor"), WITHIN, ids=called)
def test_the_size_is_the_exact_distance_within_the_box(record, factor, kind):
    assert_exact(record, factor, placed(kind))


@pytest.mark.parametrize("kind", ["inside", "corners"])
@pytest.mark.parametrize(("record", "factor"), FROM_THE_IMAGE, ids=called)
def test_the_papers_own_way_leads_there_too(record, factor, kind):
    assert_exact(record, factor, placed(kind))


def assert_exact(record, factor, x):
    norm = record.threat
    net, _, exact = halves(x, norm)
    found = attack(record, net, x, 24).candidates
    near = exact.isfinite()
    assert near.sum() > 6
    assert (net(found).argmax(1) != net(x).argmax(1))[near].all()
    ratio = (size(found - x, norm) / exact)[near]
    assert float(ratio.max()) <= factor + 1e-9
    assert float(ratio.min()) >= 0.999


def test_the_fewest_numbers_are_those_with_most_to_gain():
    """Against all subsets."""
    generator = torch.Generator().manual_seed(0)
    x, w = torch.rand((8, 6), generator=generator), torch.randn((8, 6), generator=generator)
    gains = w.abs() * torch.where(w > 0, 1 - x, x)
    subsets = torch.tensor([[i >> k & 1 for k in range(6)] for i in range(64)])
    for share in (0.1, 0.4, 0.7, 0.99):
        wanted = share * gains.sum(1)
        fits = gains @ subsets.T.float() >= wanted[:, None]
        fewest = torch.where(fits, subsets.sum(1)[None], 7).amin(1)
        assert box_radius(x, w, wanted, "l0").tolist() == fewest.tolist()


def test_projections_take_a_radius_for_each_row():
    r, epsilon = images(6) - 0.5, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 5.0])
    for norm in ("linf", "l2", "l1"):
        each = torch.cat([project(r[i : i + 1], norm, float(e)) for i, e in enumerate(epsilon)])
        assert torch.allclose(project(r, norm, epsilon), each, atol=1e-6)
    assert size(project(r, "l0", torch.arange(6)), "l0").tolist() == list(range(6))


@pytest.mark.parametrize(
    "record", [FMN(norm=n) for n in ("l2", "linf", "l1", "l0")] + [DDN(), CW(), SigmaZero()], ids=called
)
def test_a_class_with_a_long_gradient_is_found_and_one_that_is_off_does_no_harm(record):
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn((10, 64), generator=generator) * torch.logspace(0, 2, 10)[:, None]
    x = 0.5 + 0.02 * (torch.rand((24, 1, 8, 8), generator=generator) - 0.5)
    net = linear(torch.cat([weight, torch.zeros(1, 64)]), torch.cat([-weight.sum(1) / 2, torch.tensor([-1e9])]))
    z, label = net(x), net(x).argmax(1)
    away = torch.cat([weight, torch.zeros(1, 64)])[None] - weight[label.clamp_max(9)][:, None]
    gaps = z.gather(1, label[:, None]) - z
    radii = [box_radius(x, away[:, k].view_as(x), gaps[:, k], record.threat) for k in range(10)]
    exact = torch.stack(radii, 1).scatter(1, label[:, None], float("inf")).amin(1)
    found = attack(record.model_copy(update={"candidates": 11}), net, x, 24).candidates
    assert (net(found).argmax(1) != label).all()
    assert float((size(found - x, record.threat) / exact).max()) <= 1.03


@pytest.mark.parametrize("record", [FMN(norm="l2"), FMN(norm="l0"), DDN(), CW(), SigmaZero(steps=40)], ids=called)
def test_what_is_kept_does_not_depend_on_the_batch(record):
    net, x = mlp(), images(20)
    one, many = (attack(record, net, x, size_) for size_ in (3, 20))
    assert torch.allclose(size(one.candidates - x, record.threat), size(many.candidates - x, record.threat), rtol=1e-2)


@pytest.mark.parametrize("record", [FMN(norm="l2"), DDN(), CW()], ids=called)
def test_targets_are_reached_and_what_is_reached_already_costs_nothing(record):
    net, x = mlp(), images(20)
    target = (net(x).argmax(1) + 2) % 5
    found = attack(record, net, x, goal=Goal(target, 5, targeted=True))
    assert (net(found.candidates).argmax(1) == target).float().mean() > 0.9
    there = attack(record, net, x, goal=Goal(net(x).argmax(1), 5, targeted=True))
    assert torch.equal(there.candidates, x) and (there.forwards == 1).all()


def test_more_steps_and_a_search_from_the_boundary_make_perturbations_smaller():
    net, x, _ = digits(40)
    mean = lambda record: float(size(attack(record, net, x, 40).candidates - x, record.threat).mean())
    assert mean(FMN(norm="l2")) < mean(FMN(norm="l2", candidates=None))
    assert mean(SigmaZero(steps=100)) < mean(SigmaZero(steps=5))
    assert mean(DDN()) < mean(DDN(steps=5))


def test_sizes_in_l0_count_numbers_not_pixels():
    net, x = mlp(shape=(3, 5, 5), seed=2), images(12, (3, 5, 5))
    result = FMN(norm="l0")(net, x, net(x).argmax(1))
    changed = (result.images != x).flatten(1).sum(1)
    assert result.size("l0_components").tolist() == changed.tolist()
    assert (result.size("l0") <= result.size("l0_components")).all()
    frame = result.frame()
    assert frame["norm"].eq("l0").all() and frame["l0_components"].tolist() == changed.tolist()


def slide(net, x, label, epsilon, steps=40, share=0.01):
    """Sparse l1 descent (Tramer and Boneh 2019), the simple way."""
    adv = x.clone()
    for _ in range(steps):
        leaf = adv.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(net(leaf), label, reduction="sum")
        g = torch.autograd.grad(loss, leaf)[0].flatten(1)
        stuck = ((adv.flatten(1) <= 0) & (g < 0)) | ((adv.flatten(1) >= 1) & (g > 0))
        g = g.masked_fill(stuck, 0)
        top = g.abs() >= g.abs().quantile(1 - share, dim=1, keepdim=True)
        step = g.sign() * top / top.sum(1, keepdim=True) * 2.5 * epsilon / steps
        adv = (x + project(adv + step.view_as(x) - x, "l1", epsilon)).clamp(0, 1)
    return adv


@pytest.mark.parametrize("epsilon", [6.0, 9.0, 14.0])
def test_pgd_in_l1_breaks_at_least_what_sparse_l1_descent_breaks(epsilon):
    net, x, _ = digits(60)
    label = net(x).argmax(1)
    mine = attack(attacks.build("pgd", {"norm": "l1", "epsilon": epsilon}), net, x, 60).candidates
    broken = [(net(images).argmax(1) != label).float().mean() for images in (mine, slide(net, x, label, epsilon))]
    assert broken[0] >= broken[1] > 0


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_deepfool_does_not_stall_on_two_centred_classes(norm, scale):
    """Also where images lie nearly on the boundary."""
    x = placed("anywhere")
    w = torch.randn(64, generator=torch.Generator().manual_seed(3))
    gap = torch.logspace(-3, 0, 24) * torch.where(torch.arange(24) % 2 == 0, 1, -1)
    x = (x - (((x.flatten(1) @ w) - gap) / (w @ w))[:, None, None, None] * w.view(1, 1, 8, 8)).clamp(0, 1)
    net = linear(torch.stack([-w / 2, w / 2]) * scale)
    outcome = attack(attacks.build("deepfool", {"norm": norm}), net, x, 24)
    assert (net(outcome.candidates).argmax(1) != net(x).argmax(1)).all()
    assert outcome.forwards.max() <= 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FMN(norm="l3"), "l2"),
        (lambda: DDN(gamma=1.0), "gamma"),
        (lambda: CW(box="none"), "box"),
        (lambda: SigmaZero(candidates=1), "candidates"),
    ],
)
def test_parameters_are_checked(make, message):
    with pytest.raises(UsageError, match=message):
        make()
