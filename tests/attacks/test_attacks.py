"""What attacks do beside what the bracket (test_calibration.py) says of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from robustbench_lite.attacks.fgsm import enough
from robustbench_lite.datasets.base import images as as_images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import UsageError
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.registry import canonical
from robustbench_lite.threat.box import box_radius
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import dual_size, size
from tests.helpers import ROOT, attack, images, mlp


def digits(n: int, name: str = "lenet_mnist"):
    classifier = Zoo(zoo=name).load(ROOT)
    samples = Bundled(bundled="mnist", samples=n).load(ROOT)
    return classifier.module, as_images(samples), torch.from_numpy(samples.labels)


@pytest.mark.parametrize("name", ["lenet_mnist", "fc500_150_10_mnist"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_skipping_classes_does_not_change_deepfool(name, norm):
    net, x, _ = digits(60, name)
    quick, whole = (attack(attacks.build("deepfool", {"norm": norm, "slack": s}), net, x, 60) for s in (1.5, None))
    assert torch.allclose(quick.candidates, whole.candidates, atol=1e-5)
    later = [outcome.backwards - 9 for outcome in (quick, whole)]  # the first step computes them all
    assert later[0].sum() < 0.3 * later[1].sum()


def test_deepfool_takes_few_steps_and_its_successes_are_real():
    net, x, _ = digits(60)
    label = net(x).argmax(1)
    outcome = attack(attacks.build("deepfool", {"clip": False}), net, x)
    assert (net(outcome.candidates).argmax(1) != label).all()
    assert outcome.forwards.float().mean() < 6


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_clipped_deepfool_looks_at_the_curve_on_its_way(monkeypatch, norm):
    """Whole ways to the boundary of one linearisation end farther out on a classifier that is not linear."""
    net, x, _ = digits(60)
    label, record = net(x).argmax(1), attacks.build("deepfool", {"norm": norm})
    outcome = attack(record, net, x, 60)
    assert (net(outcome.candidates).argmax(1) != label).all() and outcome.forwards.float().mean() < 6
    monkeypatch.setattr("robustbench_lite.attacks.deepfool._FAR", float("inf"))
    whole = attack(record, net, x, 60)
    smaller = size(outcome.candidates - x, norm) < size(whole.candidates - x, norm) * (1 + 1e-6)
    assert smaller.float().mean() > 0.9


def test_deepfool_leaves_the_prediction_not_the_label():
    net, x = mlp(), images(30)
    wrong = (net(x).argmax(1) + 1) % 5
    away = attack(attacks.build("deepfool"), net, x, goal=Goal(wrong, 5))
    assert torch.equal(away.candidates, x)  # away from a label that is not predicted: nothing to do
    outcome = attack(attacks.build("deepfool"), net, x)
    assert (net(outcome.candidates).argmax(1) != net(x).argmax(1)).all()


def test_deepfool_uses_at_most_its_candidates():
    net, x = mlp(classes=5), images(30)
    two = attack(attacks.build("deepfool", {"candidates": 2, "slack": None}), net, x)
    every = attack(attacks.build("deepfool", {"candidates": 10, "slack": None}), net, x)
    assert (two.backwards <= two.forwards).all()
    assert size(two.candidates - x, "l2").mean() >= size(every.candidates - x, "l2").mean()


def test_the_overshoot_is_what_is_declared():
    net, x = mlp(classes=2), images(30)
    small, large = (attack(attacks.build("deepfool", {"overshoot": o, "clip": False}), net, x) for o in (0.001, 0.5))
    ratio = size(large.candidates - x, "l2") / size(small.candidates - x, "l2")
    assert ratio.median() > 1.2


def test_lbfgs_is_never_far_above_deepfool_and_usually_below():
    net, x, _ = digits(20, "fc500_150_10_mnist")
    label = net(x).argmax(1)
    fool = size(attack(attacks.build("deepfool"), net, x).candidates - x, "l2")
    found = attack(attacks.build("lbfgs", {"targets": 3}), net, x)
    assert (net(found.candidates).argmax(1) != label).all()
    assert (size(found.candidates - x, "l2") / fool).mean() < 1.0
    assert (size(found.candidates - x, "l2") / fool).max() < 1.15


def test_lbfgs_reaches_the_target_it_is_given():
    net, x = mlp(), images(20)
    target = (net(x).argmax(1) + 2) % 5
    outcome = attack(attacks.build("lbfgs", {"target": 0}), net, x, goal=Goal(target, 5, targeted=True))
    assert (net(outcome.candidates).argmax(1) == target).float().mean() > 0.9


def test_fgsm_is_one_signed_step():
    net, x = mlp(), images(10)
    outcome = attack(attacks.build("fgsm", {"epsilon": 0.05, "clip": False}), net, x)
    leaf = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(net(leaf), net(x).argmax(1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert torch.allclose(outcome.candidates, x + 0.05 * gradient.sign())
    assert (outcome.forwards == 1).all()
    assert (outcome.backwards == 1).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fgsm_finds_the_smallest_size_that_fools_a_fraction(norm):
    net, x = mlp(classes=2), images(50)
    label = net(x).argmax(1)
    outcome = attack(attacks.build("fgsm", {"fraction": 0.9, "norm": norm, "clip": False}), net, x)
    fooled = (net(outcome.candidates).argmax(1) != label).float().mean()
    assert 0.9 <= fooled <= 0.94
    used = size(outcome.candidates - x, norm)
    assert torch.allclose(used, used.mean().expand_as(used), rtol=1e-4)  # one epsilon for all
    just_below = x + (outcome.candidates - x) * 0.99
    assert (net(just_below).argmax(1) != label).float().mean() < 0.9
    assert "misclassifies" in outcome.notes[0]


def test_fgsm_says_when_no_epsilon_is_large_enough():
    class Stubborn(torch.nn.Module):
        def forward(self, x):
            first = x.flatten(1)[:, 0]
            return torch.stack([first * 0 + 1, first * 1e-9], 1)

    outcome = attack(attacks.build("fgsm", {"fraction": 0.9}), Stubborn().eval(), images(10))
    assert "no epsilon up to" in outcome.notes[0]


def test_pgd_stops_early_or_runs_on():
    net, x = mlp(), images(30)
    quick = attack(attacks.build("pgd", {"epsilon": 0.2}), net, x)
    whole = attack(attacks.build("pgd", {"epsilon": 0.2, "stop": "never"}), net, x)
    label = net(x).argmax(1)
    assert torch.equal(net(quick.candidates).argmax(1) != label, net(whole.candidates).argmax(1) != label)
    assert (whole.forwards == 41).all()
    assert (whole.backwards == 40).all()
    assert quick.forwards.sum() < 0.3 * whole.forwards.sum()
    loss = lambda outcome: torch.nn.functional.cross_entropy(net(outcome.candidates), label)
    assert loss(whole) > loss(quick)


def test_pgd_restarts_only_ever_help():
    net, x = mlp(seed=3), images(60)
    label = net(x).argmax(1)
    once, thrice = (
        attack(attacks.build("pgd", {"epsilon": 0.02, "steps": 3, "restarts": k, "stop": "never"}), net, x)
        for k in (1, 3)
    )
    assert (thrice.forwards == 12).all()
    loss = lambda outcome: torch.nn.functional.cross_entropy(net(outcome.candidates), label, reduction="none")
    assert loss(thrice).mean() >= loss(once).mean() - 1e-4


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_pgd_succeeds_on_every_loss_where_the_exact_radius_says_so(loss, targets):
    generator = torch.Generator().manual_seed(3)
    weight = 1e3 * torch.randn((10, 64), generator=generator)  # the softmax is that of one rival
    x = 0.5 + 0.02 * torch.rand((30, 1, 8, 8), generator=generator)
    net = linear(weight, -weight.sum(1) / 2)
    z, label = net(x), net(x).argmax(1)
    length = dual_size((weight[None] - weight[label][:, None]).flatten(0, 1), "linf").view(30, 10)
    gaps = (z.gather(1, label[:, None]) - z) / length.clamp_min(1e-9)
    exact = gaps.scatter(1, label[:, None], float("inf")).amin(1)
    epsilon = float(exact.median())
    record = attacks.build("pgd", {"epsilon": epsilon, "loss": loss, "targets": targets, "random_start": False})
    won = net(attack(record, net, x).candidates).argmax(1) != label
    assert not won[exact > epsilon * 1.001].any()
    assert won[exact * 1.05 < epsilon].float().mean() > (0.9 if targets == 1 else 0.99)


def test_restarts_that_aim_find_a_class_that_the_likeliest_hides():
    """The runner-up gains nothing from any change, so whoever climbs towards it stands still."""
    weight = torch.zeros(4, 16)
    weight[2] = torch.randn(16, generator=torch.Generator().manual_seed(1))
    x = torch.full((5, 1, 4, 4), 0.5)
    bias = torch.tensor([5.0, 4.9, 4.0, -50.0]) - weight.sum(1) / 2
    net = linear(weight, bias)
    flat = {"epsilon": 0.2, "steps": 10, "loss": "margin", "random_start": False}
    plain, aimed = (attack(attacks.build("pgd", flat | {"targets": k}), net, x) for k in (1, 2))
    assert (net(plain.candidates).argmax(1) == 0).all()
    assert (net(aimed.candidates).argmax(1) == 2).all()
    with pytest.raises(UsageError, match="expected 1 beside a target, got 2"):
        attacks["pgd"](target=1, targets=2)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("fgsm", {"epsilon": 0.1, "fraction": 0.9}, "either epsilon or fraction"),
        ("pgd", {"steps": 0}, "greater than 0"),
        ("pgd", {"step": 7}, "step"),
        ("deepfool", {"norm": "l1"}, "l2"),
        ("pgd", {"epsilon": float("nan")}, "finite"),
    ],
)
def test_parameters_are_checked(name, params, message):
    with pytest.raises(UsageError, match=message):
        attacks[name](**params)


def test_a_fingerprint_changes_with_every_parameter_and_nothing_else():
    base = attacks.build("pgd")
    assert base.fingerprint() == attacks.build("pgd", {"epsilon": "8/255", "steps": 40}).fingerprint()
    assert base.fingerprint() != attacks.build("pgd", {"steps": 41}).fingerprint()
    assert canonical(base.params()) == canonical(attacks.build("pgd", base.params()).params())


def linear(weight, bias=None):
    """Logits W x + b of flattened images, for weights (K, D)."""
    layer = torch.nn.Linear(weight.shape[1], len(weight))
    layer.weight.data = weight
    layer.bias.data = torch.zeros(len(weight)) if bias is None else bias
    return torch.nn.Sequential(torch.nn.Flatten(), layer).eval().requires_grad_(requires_grad=False)


def placed(kind):
    """Images of which the box binds none, half or nearly all numbers."""
    generator = torch.Generator().manual_seed(5)
    if kind == "digits":
        return digits(24)[1]
    x = torch.rand((24, 1, 8, 8), generator=generator)
    return {"inside": 0.5 + 0.02 * (x - 0.5), "anywhere": x, "corners": (x > 0.5).float()}[kind]


def halves(x, norm):
    """Two classes whose boundary some images reach within the box at less than half of what it allows; exact radii."""
    w = torch.randn(x[0].numel(), generator=torch.Generator().manual_seed(6))
    wide = w.view(1, *x.shape[1:]).expand_as(x)
    most = (w.abs() * torch.where(w > 0, 1 - x.flatten(1), x.flatten(1))).sum(1)
    level = ((x.flatten(1) @ w) + 0.3 * most).median()
    z = x.flatten(1) @ w - level
    below = z < 0
    exact = torch.where(below, box_radius(x, wide, -z, norm), box_radius(x, -wide, z, norm))
    return linear(torch.stack([-w / 2, w / 2]), torch.stack([level / 2, -level / 2])), below.long(), exact


@pytest.mark.parametrize("kind", ["inside", "anywhere", "corners", "digits"])
@pytest.mark.parametrize(
    ("name", "norm", "tolerance"),
    [
        ("pgd", "linf", 0.02),
        ("pgd", "l2", 0.05),
        ("pgd", "l1", 0.02),
        ("fgsm", "linf", 0.001),
        ("fgsm", "l2", 0.001),
        ("fgsm", "l1", 0.001),
        ("eot", "linf", 0.02),
        ("eot", "l2", 0.05),
        ("eot", "l1", 0.02),
    ],
)
def test_a_budget_is_enough_just_above_the_exact_radius_in_the_box(name, norm, tolerance, kind):
    x = placed(kind)
    net, _, exact = halves(x, norm)
    label = net(x).argmax(1)
    epsilon = float(exact[exact.isfinite()].median()) * (1 + tolerance) * 1.001
    found = attack(attacks.build(name, {"norm": norm, "epsilon": epsilon}), net, x, 7, Goal(label, 2)).candidates
    won = net(found).argmax(1) != label
    assert won[exact * (1 + tolerance) < epsilon].all()
    assert not won[exact * (1 - 1e-4) > epsilon].any()
    assert (exact * (1 + tolerance) < epsilon).sum() >= 6
    assert float(size(found - x, norm).max()) <= epsilon * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["inside", "anywhere", "corners", "digits"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_nearest_boundary_within_the_box(norm, kind):
    x = placed(kind)
    net, _, exact = halves(x, norm)
    found = attack(attacks.build("deepfool", {"norm": norm}), net, x, 7).candidates
    reachable = exact.isfinite()
    assert reachable.sum() > 12
    assert (net(found).argmax(1) != net(x).argmax(1))[reachable].all()
    ratio = (size(found - x, norm) / exact)[reachable]
    assert float(ratio.max()) <= 1.03
    assert float(ratio.min()) >= 0.999


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("spread", [10, 100])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_deepfool_does_not_miss_a_class_whose_gradient_is_long(batch_size, spread, norm):
    """The nearest class may have the largest gap of all. Also with a class that is switched off."""
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn((10, 64), generator=generator) * torch.logspace(0, torch.tensor(spread).log10(), 10)[:, None]
    x = 0.5 + 0.02 * (torch.rand((40, 1, 8, 8), generator=generator) - 0.5)
    net = linear(torch.cat([weight, torch.zeros(1, 64)]), torch.cat([-weight.sum(1) / 2, torch.tensor([-1e9])]))
    z = net(x)
    label = z.argmax(1)
    gaps = z.gather(1, label[:, None]) - z[:, :10]
    length = dual_size((weight[None] - weight[label.clamp_max(9)][:, None]).flatten(0, 1), norm).view(40, 10)
    exact = (gaps / length.clamp_min(1e-12)).scatter(1, label[:, None], float("inf")).amin(1)
    outcome = attack(attacks.build("deepfool", {"norm": norm, "clip": False, "candidates": 11}), net, x, batch_size)
    assert (net(outcome.candidates).argmax(1) != label).all()
    assert float((size(outcome.candidates - x, norm) / exact).max()) <= 1.03
    assert outcome.backwards.max() <= 30


class Plateau(torch.nn.Module):
    """Flat but for one corner of the cube: class 1 wins by how far the mean of the pixels exceeds a level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = torch.relu(x.mean((1, 2, 3)) - self.level)
        return torch.stack([0 * active + 0.01, 10 * active], dim=1)


def test_smoothing_leads_off_a_plateau_on_which_every_gradient_is_zero():
    x, epsilon = torch.full((20, 1, 3, 3), 0.5), 0.1
    options = {"epsilon": epsilon, "loss": "margin", "step_size": 2 * epsilon, "restarts": 3}
    inside, outside = Plateau(0.5 + 0.95 * epsilon - 0.001), Plateau(0.5 + 1.05 * epsilon)
    plain, smooth, none = (
        attack(attacks.build("pgd", options | {"smoothing": k}), net, x)
        for net, k in ((inside, 0), (inside, 6), (outside, 6))
    )
    assert (inside(plain.candidates).argmax(1) == 0).all() and (plain.zero_gradient > 0).all()
    assert (inside(smooth.candidates).argmax(1) == 1).all() and (outside(none.candidates).argmax(1) == 0).all()
    assert (size(smooth.candidates - x, "linf") <= epsilon * (1 + 1e-5)).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_smoothed_steps_cost_one_more_forward_and_do_not_depend_on_the_batch(norm):
    net, x = mlp(), images(7)
    record = attacks.build("pgd", {"norm": norm, "epsilon": 1e-3, "smoothing": 2, "steps": 5, "restarts": 2})
    whole, single = attack(record, net, x, 7), attack(record, net, x, 1)
    assert torch.equal(whole.candidates, single.candidates)
    assert (whole.backwards == 2 * 5).all() and (whole.forwards == 2 * (2 * 5 + 1)).all()


def test_random_starts_are_what_restarts_differ_in():
    with pytest.raises(UsageError, match="expected 1 with random_start: false, got 3"):
        attacks["pgd"](random_start=False, restarts=3)


@pytest.mark.parametrize(
    ("share", "n", "count"), [(0.55, 100, 55), (0.9, 10, 9), (0.07, 100, 7), (1 / 3, 3, 1), (0.901, 10, 10)]
)
def test_a_share_is_that_of_the_number_as_it_is_written(share, n, count):
    assert enough(share, n) == count


@pytest.mark.parametrize("module", ["attacks.pgd", "engine.attack", "attacks.rp2", "attacks.eot3d"])
def test_an_attack_is_declared_without_loading_what_draws_or_transforms(module):
    code = f"import sys, robustbench_lite.{module}\nprint(*({{'kornia', 'PIL', 'torch'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout.split()


def test_importing_pgd_imports_no_camera():
    code = "import sys, robustbench_lite.attacks.pgd\nprint(*(name for name in sys.modules if '.physical' in name))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stdout.split()
