"""HopSkipJump on problems whose exact distance is known, by decisions alone."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks.cascade import Cascade
from robustbench_lite.attacks.hop_skip_jump import ESTIMATE, HopSkipJump
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError, UsageError
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.threat.box import box_radius
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.trust.smell import doubts
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


# targeted: towards an image of the target's class


def others(net, x, classes):
    """The images to start from, and what they are taken for."""
    return Fitting(x, Goal(net(x).argmax(1), classes), Draw(keys(0, "", [str(i) for i in range(len(x))])))


def targeted(record, net, x, goal, fit, batch_size=64):
    draw = Draw(keys(0, record.stream(), [str(i) for i in range(len(x))]))
    return run(record, Oracle(net, CPU, batch_size), Job(x, goal, draw, others(net, fit, goal.classes)))


@pytest.mark.parametrize(("norm", "factor"), [("l2", 1.2), ("linf", 1.35)])
@pytest.mark.parametrize("kind", ["inside", "corners"])
def test_with_a_target_the_distance_is_within_as_many_per_cent(kind, norm, factor):
    x = placed(kind)
    net, label, exact, _ = central(x, norm)
    far = exact.argsort(descending=True)[:12]
    goal = Goal(1 - label[far], 2, targeted=True)
    found = targeted(HopSkipJump(norm=norm, n_queries=2000, target=0), net, x[far], goal, x).candidates
    assert torch.equal(net(found).argmax(1), goal.label)
    ratio = size(found - x[far], norm) / exact[far]
    assert float(ratio.max()) < factor
    assert float(ratio.min()) > 0.999


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_target_is_reached_whatever_the_batch(norm):
    """Noise is of one class or two: without images to start from most targets would not be."""
    net, x, label = digits(60)
    goal = Goal((label[:20] + 1 + torch.arange(20) % 9) % 10, 10, targeted=True)
    record = HopSkipJump(norm=norm, n_queries=300, target="random")
    whole, some = (targeted(record, net, x[:20], goal, x[20:], batch) for batch in (64, 6))
    assert torch.equal(net(whole.candidates).argmax(1), goal.label)
    assert (whole.forwards == 300).all() and torch.equal(whole.forwards, some.forwards)
    sizes = [size(one.candidates - x[:20], norm) for one in (whole, some)]
    ratio = (sizes[0] / sizes[1] - 1).abs()  # a decision within rounding of the boundary may fall the other way
    assert ratio.median() < 1e-3 and ratio.max() < 0.25
    there = [size(x[20:][net(x[20:]).argmax(1) == k] - x[i], norm).min() for i, k in enumerate(goal.label)]
    assert (size(whole.candidates - x[:20], norm) < 0.8 * torch.stack(there)).all()  # than where it set out


def test_the_second_query_is_the_nearest_image_of_the_target():
    net, x, _ = digits(60)
    seen = []
    watched = torch.nn.Sequential(net)
    watched.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    goal = Goal((net(x[:1]).argmax(1) + 3) % 10, 10, targeted=True)
    record = HopSkipJump(n_queries=2, target="random")
    draw = Draw(keys(0, "", ["0"]))
    run(record, Oracle(watched, CPU, 8), Job(x[:1], goal, draw, others(net, x[1:], 10)))
    there = x[1:][net(x[1:]).argmax(1) == goal.label]
    assert torch.equal(seen[0], x[:1])
    assert torch.equal(seen[1][0], there[size(there - x[:1], "l2").argmin()])


def test_without_an_image_of_the_target_it_says_that_it_found_no_start():
    net, x, _ = digits(30)
    label = net(x).argmax(1)
    goal = Goal(torch.full((1,), 3), 10, targeted=True)
    with pytest.raises(AttackError, match=r"found no start: of \d+ other images none is taken for class 3"):
        targeted(HopSkipJump(target=3), net, x[label != 3][:1], goal, x[label != 3])
    with pytest.raises(UsageError, match=r"starts at other images .* expected 100 in fit=, or fewer .* `starts`"):
        HopSkipJump(target=3)(net, x[label != 3], label[label != 3])
    result = HopSkipJump(target=3, starts=20, n_queries=200)(net, x[label != 3], label[label != 3], fit=x)
    assert result.success.all()


def test_its_parameters_of_before_are_those_of_before():
    assert "starts" not in HopSkipJump().params()
    assert HopSkipJump(starts=5, target="next").params()["starts"] == 5
    with pytest.raises(UsageError, match="hop_skip_jump cannot be one of the list"):
        Cascade(attacks=["hop_skip_jump"], norm="linf", target="next")


def test_a_suite_with_targets_runs_and_verifies(tmp_path):
    entry = {"hop_skip_jump": {"target": "random", "n_queries": 600, "starts": 40}}
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 6}}, "models": ["lenet_mnist"]}
    results = run_suite(load({**plain, "attacks": [entry]}), Options(results=tmp_path))
    (cell,) = results.cells().to_dict("records")
    assert (cell["status"], cell["n"], results.samples()["success"].all()) == ("ok", 6, True)
    assert cell["seconds_alone"] > 0 and not any(doubts(results).values())
    assert verify(tmp_path / "t").sound
