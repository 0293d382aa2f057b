"""Attacks beside the pseudo-code of their papers, written plainly for one image: the same iterates.

Images are grey and budgets small, so that the box binds nowhere: what is done there is not the papers', and has tests
of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from math import cos, pi

import pytest
import torch

from robustbench_lite.attacks import APGD, CW, DDN, FAB, FMN, HopSkipJump, SigmaZero, Square
from robustbench_lite.attacks.hop_skip_jump import STEP
from robustbench_lite.engine.attack import State
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import dual_size, project, size, steepest
from tests.helpers import CPU, images, mlp

SHAPE, N = (1, 10, 10), 8
NET = mlp(shape=SHAPE)
NET[2] = torch.nn.Tanh()  # curved, so that no step ends on the boundary itself


def near(n: int) -> torch.Tensor:
    """Images (n, C, H, W) at a tenth of the way before the boundary, between two of different classes."""
    many = 0.5 + 0.4 * (images(1000, SHAPE) - 0.5)
    label = NET(many).argmax(1)
    start, end = many[label == label[0]][:n], many[label != label[0]][:n]
    low, high = torch.zeros(n, 1, 1, 1), torch.ones(n, 1, 1, 1)
    for _ in range(20):
        middle = (low + high) / 2
        left = (NET(start + middle * (end - start)).argmax(1) == label[0]).view(-1, 1, 1, 1)
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
    return start + (low - 0.1).clamp_min(0) * (end - start)


X = near(N)
LABEL = NET(X).argmax(1)


SURE = deepcopy(NET)  # so sure of its class that nothing leaves it
SURE[-1].bias.data[LABEL[0]] += 9


def states(record, steps: int, net: torch.nn.Module, x: torch.Tensor) -> Iterator[State]:
    """What there is before each step, and after the last."""
    oracle = Oracle(net, CPU, 512)
    oracle.open(len(x))
    state = record.start(x, Goal(net(x).argmax(1), 5), Draw(keys(0, "", [str(i) for i in range(len(x))])))
    yield state
    for _ in range(steps):
        state = record.step(oracle, state)
        yield state


def iterates(record, steps: int, net: torch.nn.Module = NET, x: torch.Tensor = X) -> torch.Tensor:
    """What the attack evaluates (steps, N, C, H, W)."""
    return torch.stack([state.adv for state in states(record, steps - 1, net, x)])


def gap(adv: torch.Tensor, i: int, net: torch.nn.Module = NET) -> tuple[float, torch.Tensor]:
    """The largest other logit less the own one, and its gradient (1, C, H, W)."""
    leaf = adv.clone().requires_grad_()
    z = net(leaf)[0]
    value = z[torch.arange(5) != LABEL[i]].max() - z[LABEL[i]]
    (slope,) = torch.autograd.grad(value, leaf)
    return value.item(), slope


def log_odds(adv: torch.Tensor, i: int, net: torch.nn.Module = NET) -> tuple[float, torch.Tensor]:
    """What cross-entropy says, without its saturation: the log-odds against the label."""
    leaf = adv.clone().requires_grad_()
    p = net(leaf).log_softmax(1)[0]
    value = p[torch.arange(5) != LABEL[i]].logsumexp(0) - p[LABEL[i]]
    (slope,) = torch.autograd.grad(value, leaf)
    return value.item(), slope


def falling(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + cos(pi * share)) / 2


def assert_same(found: torch.Tensor, i: int, wanted: list[torch.Tensor], tolerance: float = 0.02) -> None:
    wanted = torch.stack(wanted)[:, 0]
    assert ((wanted > 0) & (wanted < 1)).all()
    assert float((found[: len(wanted), i] - wanted).abs().max()) < tolerance * float((wanted - X[i]).abs().max())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["margin", "ce"])
def test_apgd(norm, loss):
    """Algorithm 1 (Croce and Hein 2020); 50 steps have their checkpoints at 11, 21, 29, 35, ..."""
    epsilon, steps, checkpoints = {"linf": 0.03, "l2": 0.3}[norm], 50, {11, 21, 29, 35, 40, 44, 47}
    far = 0.5 + 0.3 * (images(N, SHAPE) - 0.5)
    found = iterates(APGD(norm=norm, epsilon=epsilon, loss=loss, steps=steps), steps + 1, SURE, far)[1:]
    climbed, same, went_back, went_on = {"margin": gap, "ce": log_odds}[loss], 0, 0, 0
    for i in range(N):
        inside = lambda adv, i=i: far[i : i + 1] + project(adv - far[i : i + 1], norm, epsilon)
        x, before, wanted, best = found[0, i : i + 1], found[0, i : i + 1], [], (-torch.inf, None, None)
        eta, last, helped, mark, halved, checkpoint = 2 * epsilon, torch.inf, 0, -torch.inf, False, 0
        for k in range(steps):
            wanted.append(x)
            value, g = climbed(x, i, SURE)
            helped += value > last
            best = max(best, (value, x, g), key=lambda one: one[0])
            if k in checkpoints:
                halve = helped < 0.75 * (k - checkpoint) or (not halved and best[0] <= mark)
                mark, halved, helped, checkpoint = best[0], halve, 0, k
                went_on += not halve
                if halve:
                    went_back += not torch.equal(x, best[1])
                    eta, (value, x, g) = eta / 2, best
            z = inside(x + eta * steepest(g, norm))
            new = 0.75 if k else 1.0
            x, before, last = inside(x + new * (z - x) + (1 - new) * (x - before)), x, value
        same += float((found[:steps, i] - torch.cat(wanted)).abs().max()) < 1e-3 * epsilon
    assert same >= (N if norm == "l2" else N - 3)  # the sign of next to nothing is chance
    assert went_back >= N - 3
    assert went_on >= (norm == "l2")


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fab(norm):
    """Algorithm 1 (Croce and Hein 2020), towards the likeliest class: each step is drawn to the image."""
    steps, returned, drawn = 14, 0, 0
    found = iterates(FAB(norm=norm, targets=1, steps=steps), steps)
    for i in range(N):
        x = adv = X[i : i + 1]
        rival, wanted = int(NET(x)[0].index_fill(0, LABEL[i], -torch.inf).argmax()), []
        for _ in range(steps):
            wanted.append(adv)
            if NET(adv).argmax() != LABEL[i]:
                adv, returned = x + 0.9 * (adv - x), returned + 1
            leaf = adv.clone().requires_grad_()
            value = NET(leaf)[0, rival] - NET(leaf)[0, LABEL[i]]
            (g,), value = torch.autograd.grad(value, leaf), value.item()
            way = steepest(g, norm) / dual_size(g, norm)
            d, d_0 = -value * way, -(value + float((g * (x - adv)).sum())) * way
            a = float((size(d, norm) / (size(d, norm) + size(d_0, norm))).clamp_max(0.1))
            drawn += a < 0.09
            adv = (1 - a) * (adv + 1.05 * d) + a * (x + 1.05 * d_0)
        if all(((one > 0) & (one < 1)).all() for one in wanted):
            assert_same(found, i, wanted)  # ways from a failure go beyond what rounding may hide
    assert returned >= N
    assert drawn >= N


def test_ddn():
    """Algorithm 1 (Rony et al. 2019), with a gamma that falls."""
    steps = 30
    found = iterates(DDN(candidates=None, steps=steps), steps)
    for i in range(N):
        delta, epsilon, wanted = torch.zeros_like(X[i : i + 1]), 1.0, []
        for k in range(steps):
            adv = X[i : i + 1] + delta
            wanted.append(adv)
            gamma = falling(0.05, 0.005, k / steps)
            if k:
                epsilon *= 1 - gamma if NET(adv).argmax() != LABEL[i] else 1 + gamma
            delta = delta + falling(1.0, 0.01, k / steps) * steepest(log_odds(adv, i)[1], "l2")
            delta = epsilon * steepest(delta, "l2")
        assert_same(found, i, wanted)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_fmn(norm):
    """Algorithm 1 (Pintor et al. 2021): the radius, then the step, then the projection."""
    steps, inside = 40, 0
    found = iterates(FMN(norm=norm, candidates=None, steps=steps), steps)
    for i in range(N):
        delta, epsilon, best, wanted = torch.zeros_like(X[i : i + 1]), 0.0, torch.inf, []
        for k in range(steps):
            adv = X[i : i + 1] + delta
            wanted.append(adv)
            value, g = gap(adv, i)
            gamma = falling(0.05, 0.001, k / steps)
            if value > 0:
                best = min(best, float(size(delta, norm)))
                epsilon = min(epsilon * (1 - gamma), best)
            elif best < torch.inf:
                epsilon *= 1 + gamma
            else:
                epsilon = max(float(size(delta, norm) - value / dual_size(g, norm)), epsilon * (1 + gamma))
            first = 10.0 if norm == "linf" else 1.0
            delta = project(delta + falling(first, first / 100, k / steps) * steepest(g, "l2"), norm, epsilon)
        if all(((one > 0) & (one < 1)).all() for one in wanted):
            inside += 1
            assert_same(found, i, wanted)
    assert inside >= 3


def test_sigma_zero():
    """Algorithm 1 (Cina et al. 2025), with Adam as in the authors' code."""
    steps, sigma = 30, 1e-3
    found = iterates(SigmaZero(candidates=None, steps=steps), steps)
    for i in range(N):
        x, delta, tau = X[i : i + 1], torch.zeros_like(X[i : i + 1]), 0.3
        adam, wanted = torch.optim.Adam([delta], lr=1.0), []
        for k in range(steps):
            wanted.append(x + delta)
            value, g = gap(x + delta, i)
            count = delta.clone().requires_grad_()
            (slope,) = torch.autograd.grad((count.square() / (count.square() + sigma)).mean(), count)
            slope = slope - g * (value <= 0)
            delta.grad = slope / slope.abs().max()
            adam.param_groups[0]["lr"] = length = falling(1.0, 0.1, k / steps)
            adam.step()
            delta.copy_((x + delta).clamp(0, 1) - x)
            tau = min(max(tau + (0.01 if value > 0 else -0.01) * length, 0), 1)
            delta[delta.abs() < tau] = 0
        assert float((found[:, i] - torch.stack(wanted)[:, 0]).abs().max()) < 0.01


def test_cw():
    """Adam on the paper's objective, and its search for c: ten times as large after a failure, else bisected."""
    steps, searches, failed = 15, 5, 0
    found = iterates(CW(candidates=None, steps=steps, search_steps=searches, rate=0.0002), steps * searches)
    for i in range(N):
        x = best = X[i : i + 1]
        value, g = gap(x, i)
        c, low, high, smallest, wanted = 2.2 * -value / float(g.square().sum()), 0.0, torch.inf, torch.inf, []
        adv = x.clone()
        for _ in range(searches):
            adam, hit = torch.optim.Adam([adv], lr=0.0002, eps=1e-12), False
            for k in range(steps):
                wanted.append(adv.clone())
                value, g = gap(adv, i)
                far = float(size(adv - x, "l2"))
                if value > 0:
                    hit = True
                    best, smallest = (adv.clone(), far) if far < smallest else (best, smallest)
                adv.grad = 2 * (adv - x) - c * (value <= 0) * g
                adam.param_groups[0]["lr"] = falling(0.0002, 0.0002 / 100, k / steps)
                adam.step()
            failed += not hit
            low, high = (low, min(high, c)) if hit else (c, high)
            c = 10 * c if high == torch.inf else (low + high) / 2
            adv = best.clone() if smallest < torch.inf else adv.clone()
        assert_same(found, i, wanted)
    assert failed >= 3


CORNERS = images(N, SHAPE, seed=4).round()
BALLS = [
    *(APGD(norm=n, epsilon=e) for n, e in (("linf", 0.1), ("l2", 0.5), ("l1", 2.0))),
    *(Square(norm=n, epsilon=e) for n, e in (("linf", 0.1), ("l2", 0.5), ("l1", 2.0))),
]
SMALLEST = [FAB(norm=n) for n in ("linf", "l2", "l1")] + [
    FMN(norm=n, candidates=None) for n in ("linf", "l2", "l1", "l0")
]
SMALLEST += [DDN(candidates=None), CW(candidates=None), CW(candidates=None, box="tanh"), SigmaZero(candidates=None)]
SMALLEST += [HopSkipJump(norm="l2"), HopSkipJump(norm="linf")]


@pytest.mark.parametrize("record", BALLS + SMALLEST, ids=lambda one: f"{type(one).__name__} {one.threat}")
def test_whatever_is_evaluated_is_an_image_in_the_ball(record):
    """Also where the image is a corner of the box. APGD in l1 is in larger balls at first, and says so."""
    for state in states(record, 30, NET, CORNERS):
        assert float(state.candidate.min()) >= 0
        assert float(state.candidate.max()) <= 1
        counts = state.score.isfinite() | state.won
        if record.budget is not None and counts.any():
            assert float(size(state.candidate - CORNERS, record.threat)[counts].max()) <= record.budget * (1 + 1e-5)


def test_ddn_has_the_size_that_it_wants_where_the_box_binds():
    for k, state in enumerate(states(DDN(candidates=None), 25, NET, CORNERS)):
        assert k == 0 or torch.allclose(size(state.adv - CORNERS, "l2"), state.epsilon, rtol=1e-4)


def test_the_radius_of_fmn_in_l0_changes_by_a_number_at_least():
    before, seen = None, set()
    for state in states(FMN(norm="l0", candidates=None), 40, NET, CORNERS):
        if before is not None:
            for won, old, new in zip(state.won, before.epsilon, state.epsilon, strict=True):
                seen.add(bool(won))
                assert new <= max(1, old - 1) if won else new >= old + 1
        before = state
    assert seen == {True, False}


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hop_skip_jump_probes_more_and_steps_less_with_the_root_of_the_turn(norm):
    turns, before = set(), None
    for state in states(HopSkipJump(norm=norm, probes=10), 150, NET, X):
        if before is not None:
            new = (state.phase == STEP) & (before.phase != STEP)
            wanted = size(state.at - X, norm).double() / state.turn.double().sqrt()
            assert torch.allclose(state.length[new], wanted[new], rtol=1e-6)
            assert torch.equal(state.asked[new], (10 * state.turn[new].double().sqrt()).long())
            turns |= set(state.turn[new].tolist())
        before = state
    assert turns >= {1, 2, 3}


def begun(record, steps: int) -> list[tuple[State, State]]:
    """The states at the start of every run after the first, each with the one before; all rows are in step."""
    found = list(states(record, steps, SURE, X))
    return [(old, new) for old, new in pairwise(found) if (new.run > old.run).all() and not new.done.all()]


def test_restarts_of_apgd_begin_elsewhere():
    starts = [new.adv for _, new in begun(APGD(epsilon=0.03, restarts=3, steps=4), 20)]
    first = iterates(APGD(epsilon=0.03, restarts=3, steps=4), 2, SURE)[1]
    assert len(starts) == 2
    assert all((one != other).flatten(1).any(1).all() for one, other in pairwise([first, *starts]))


def test_a_smaller_ball_of_apgd_in_l1_begins_where_the_larger_one_was_best():
    stages = begun(APGD(norm="l1", epsilon=0.5, steps=20), 30)
    assert len(stages) == 2
    for times, (_, new) in zip((2, 1), stages, strict=True):
        assert torch.allclose(new.adv - X, project(new.best - X, "l1", times * 0.5), atol=1e-5)


def test_restarts_of_fab_begin_at_random_within_half_of_what_is_known():
    record = FAB(restarts=2, targets=1, steps=6)
    found = [(old, new) for old, new in pairwise(states(record, 40, NET, X)) if (new.run > old.run).any()]
    old, new = found[0]
    again = (new.run == 1) & (old.run == 0)
    assert again.any()
    far = size(new.adv - X, "linf")[again]
    assert (far > 0).all()
    assert (far <= new.near[again] / 2 * (1 + 1e-5)).all()
