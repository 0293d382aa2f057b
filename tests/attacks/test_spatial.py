"""Rotations and translations: the grid is the brute force, and what more draws find contains what fewer find."""

from __future__ import annotations

import itertools

import pytest
import torch

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.judge import judge
from robustbench_lite.errors import SuiteError
from robustbench_lite.threat.goal import Goal
from robustbench_lite.transforms.warp import warp
from robustbench_lite.trust.bracket import Planted
from tests.helpers import attack, images, mlp

SMALL = {"angles": 5, "shifts": 3, "rotation": 20, "translation": 2}


def spatial(**params):
    return attacks.build("spatial", params)


def problem(n=20):
    net, x = mlp(shape=(1, 8, 8), seed=2), images(n, (1, 8, 8))
    return net, x, Goal(net(x).argmax(1), 5)


def candidates(x, angles, shifts, rotation, translation):
    """(parameters, image) of every candidate of one image (1, C, H, W), one at a time."""
    turn, move = torch.linspace(-rotation, rotation, angles), torch.linspace(-translation, translation, shifts)
    for angle, dx, dy in itertools.product(turn.tolist(), move.tolist(), move.tolist()):
        one = torch.tensor([angle]), torch.tensor([dx]), torch.tensor([dy])
        yield (angle, dx, dy), warp(x, *one)


@pytest.mark.parametrize("stop", ["never", "success"])
def test_the_grid_gives_the_verdicts_of_brute_force(stop):
    net, x, goal = problem()
    outcome = attack(spatial(stop=stop, **SMALL), net, x, goal=goal)
    for i in range(len(x)):
        tried = [net(image) for _, image in candidates(x[i : i + 1], **SMALL)]
        wrong = any(logits.argmax(1)[0] != goal.label[i] for logits in tried)
        found = net(outcome.candidates[i : i + 1])
        assert bool(found.argmax(1)[0] != goal.label[i]) == wrong
        loss = lambda logits, i=i: float(torch.nn.functional.cross_entropy(logits, goal.label[i : i + 1]))
        if stop == "never":
            eligible = [z for z in tried if z.argmax(1)[0] != goal.label[i]] or tried
            assert loss(found) == pytest.approx(max(loss(z) for z in eligible), rel=1e-4, abs=1e-4)
    assert (outcome.forwards == 45).all() if stop == "never" else outcome.forwards.sum() < 45 * len(x)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("stop", ["never", "success"])
def test_the_batch_size_changes_nothing_but_time(batch_size, stop):
    net, x, goal = problem()
    one = attack(spatial(stop=stop, **SMALL), net, x, 5, goal)
    other = attack(spatial(stop=stop, **SMALL), net, x, batch_size, goal)
    assert torch.equal(one.found, other.found)
    assert torch.equal(one.candidates, other.candidates)


def test_every_forward_of_a_grid_is_a_full_batch():
    net, x, goal = problem()
    seen = []
    net.register_forward_hook(lambda _net, inputs, _output: seen.append(len(inputs[0])))
    attack(spatial(**SMALL), net, x, batch_size=8, goal=goal)
    sizes = seen[1:]  # the first is the helper's own
    assert max(sizes) == 8
    assert sum(sizes) == 45 * len(x)
    assert sum(size == 8 for size in sizes) > 0.95 * len(sizes)


@pytest.mark.parametrize("number", [0, 17, 44])
def test_a_single_planted_failure_is_found(number):
    x = images(6, (3, 8, 8))
    everything = [list(candidates(x[i : i + 1], **SMALL)) for i in range(6)]
    planted = [part[(number + 5 * i) % 45] for i, part in enumerate(everything)]
    net = Planted(torch.cat([image for _, image in planted]))
    goal = Goal(torch.zeros(6, dtype=torch.int64), 2)
    outcome = attack(spatial(**SMALL), net, x, goal=goal)
    assert torch.allclose(outcome.found[:, :3], torch.tensor([place for place, _ in planted], dtype=torch.float64))


def test_more_draws_begin_with_the_same_ones():
    net, x, goal = problem(40)
    lost = {}
    for name, params in {
        "random": {"search": "random"},
        "three": {"search": "worst_of_k", "k": 3},
        "ten": {"search": "worst_of_k"},
        "grid": {"search": "grid", "k": 10, **SMALL},
    }.items():
        outcome = attack(spatial(**{"rotation": 20, "translation": 2, **params}), net, x, goal=goal)
        lost[name] = net(outcome.candidates).argmax(1) != goal.label
    order = list(lost.values())
    assert all((fewer <= more).all() for fewer, more in itertools.pairwise(order))
    assert order[0].sum() < order[-1].sum()


def test_first_order_climbs():
    net, x, goal = problem(40)
    loss = lambda outcome: goal.loss(net(outcome.candidates))
    start = attack(spatial(search="random"), net, x, goal=goal)
    climbed = attack(spatial(search="first_order", steps=20), net, x, goal=goal)
    assert (loss(climbed) >= loss(start) - 1e-4).all()  # from the same draw
    assert (loss(climbed) > loss(start) + 0.1).float().mean() > 0.8
    assert (climbed.forwards == 21).all()
    assert (climbed.backwards == 21).all()
    again = attack(spatial(search="first_order", steps=20, k=3), net, x, goal=goal)
    assert (loss(again) >= loss(climbed) - 1e-4).all()


def test_the_worst_transform_rebuilds_the_image_exactly():
    net, x, goal = problem()
    record = spatial(scaling=0.2, scales=3, **SMALL)
    outcome = attack(record, net, x, goal=goal)
    assert torch.equal(record.rebuild(x, outcome.found), outcome.candidates)
    assert record.limits.contain(outcome.found).all()
    assert len(set(outcome.found[:, 3].tolist())) > 1


def test_the_judge_does_not_believe_other_parameters():
    net, x, goal = problem()
    record = spatial(search="random", rotation=20, translation=2)
    outcome = attack(record, net, x, goal=goal)
    faults = lambda candidates, found: set(judge(record, net, x, candidates, goal, found).fault)
    assert faults(outcome.candidates, outcome.found) == {""}
    other = outcome.found * torch.tensor([0.9, 1.0, 1.0, 1.0])
    assert faults(outcome.candidates, other) == {"its parameters give another image"}
    assert faults(outcome.candidates, outcome.found * 100) == {"parameters outside the limits"}
    assert faults((outcome.candidates + 0.01).clamp(0, 1), outcome.found) == {"its parameters give another image"}


def test_pgd_goes_on_from_the_worst_transform():
    net, x, goal = problem(40)
    epsilon = 0.01
    alone = attack(spatial(search="worst_of_k", k=2), net, x, goal=goal)
    record = spatial(search="worst_of_k", k=2, then={"pgd": {"epsilon": epsilon, "steps": 10}})
    both = attack(record, net, x, goal=goal)
    before, after = (net(outcome.candidates).argmax(1) != goal.label for outcome in (alone, both))
    assert torch.equal(alone.found, both.found)
    assert torch.equal(alone.candidates[before], both.candidates[before])  # what has fallen is left alone
    assert (after | ~before).all()
    assert after.sum() > before.sum()
    assert set(judge(record, net, x, both.candidates, goal, both.found).fault) == {""}
    far = (both.candidates - record.rebuild(x, both.found)).abs().amax()
    assert 0 < far <= epsilon * (1 + 1e-5)


@pytest.mark.parametrize(
    ("then", "says"),
    [
        ({"pgdd": {}}, "unknown attack 'pgdd'"),
        ({"deepfool": {}}, "deepfool cannot go on from a transform"),
        ({"pgd": {}, "fgsm": {}}, "expected one attack"),
        ({"pgd": {"epsilom": 1}}, "unknown key 'epsilom'"),
    ],
)
def test_what_cannot_go_on_is_a_sentence(then, says):
    with pytest.raises(SuiteError, match=says):
        spatial(then=then)


def test_the_version_of_what_goes_on_counts(monkeypatch):
    one = spatial(then={"pgd": {}}).fingerprint()
    assert one != spatial().fingerprint()
    monkeypatch.setattr(attacks["pgd"], "version", 99)
    assert spatial(then={"pgd": {}}).fingerprint() != one


def test_a_lack_of_memory_makes_batches_smaller_not_results_worse():
    net, x, goal = problem(3)

    def scarce(_net, inputs):
        if len(inputs[0]) > 5:
            raise MemoryError

    whole = attack(spatial(**SMALL), net, x, 64, goal)
    handle = net.register_forward_pre_hook(lambda _net, inputs: scarce(_net, inputs) if len(inputs[0]) != 3 else None)
    scant = attack(spatial(**SMALL), net, x, 64, goal)
    handle.remove()
    assert torch.equal(whole.found, scant.found)
    assert set(scant.reasons()) == {"ok"}
