from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from robustbench_lite.engine.attack import State, StepAttack, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.helpers import CPU, attack, images, mlp


@dataclass
class Walk(State):
    life: torch.Tensor
    age: torch.Tensor


class Walker(StepAttack):
    """Row i needs i % 7 + 1 steps; its best candidate is the one of step 2 (if it gets there)."""

    card: ClassVar[Card] = Card("walk", "none", "0000.00000", "none")

    def start(self, x, goal, draw):
        n = len(x)
        life = (x[:, 0, 0, 0] * 1000).round().long() % 7 + 1
        return Walk(x, goal, draw, x, torch.zeros(n), torch.zeros(n, dtype=torch.bool), life, torch.zeros_like(life))

    def step(self, oracle, state):
        oracle.differentiate(state.x).gradient(torch.ones(len(state.x), 5))
        age = state.age + 1
        candidate = state.x + age.view(-1, 1, 1, 1)
        return replace(state, candidate=candidate, score=(age - 2).abs().float(), done=age >= state.life, age=age)


def walk(n: int, batch_size: int, net: nn.Module | None = None):
    x = (torch.arange(n).float() / 1000).view(n, 1, 1, 1).expand(n, 1, 6, 6).contiguous()
    before = x.clone()
    job = Job(x, Goal(torch.zeros(n, dtype=torch.long), 5), Draw(keys(0, "w", [""] * n)))
    outcome = run(Walker(), Oracle(net or mlp(), CPU, batch_size), job)
    assert torch.equal(x, before)  # the job's images are nobody's scratch space
    return x, outcome


@pytest.mark.parametrize("batch_size", [1, 2, 7, 50, 256])
def test_every_row_takes_its_own_steps_and_keeps_its_best(batch_size):
    x, outcome = walk(60, batch_size)
    life = torch.arange(60) % 7 + 1
    assert torch.equal(outcome.forwards, life)
    assert torch.equal(outcome.backwards, life)
    expected = torch.where(life >= 2, 2, 1)
    assert torch.allclose((outcome.candidates - x)[:, 0, 0, 0], expected.float())
    assert (outcome.seconds > 0).all()
    assert outcome.seconds.sum() <= outcome.wall


def test_nobody_waits_for_the_slowest():
    calls = []
    net = mlp()
    net.register_forward_hook(lambda _m, args, _out: calls.append(len(args[0])))
    walk(70, 10, net)
    assert sum(calls) == int((torch.arange(70) % 7 + 1).sum())  # not one pass more than the rows need
    assert sum(count == 10 for count in calls) > 0.7 * len(calls)  # and the window stays full


SHORT = {
    "pgd": {"epsilon": 0.03, "steps": 10},
    "square": {"epsilon": 0.05, "n_queries": 100},
    "noise": {"epsilon": 0.3, "draws": 5},
    "hop_skip_jump": {"n_queries": 200},
}


@pytest.mark.parametrize("name", ["pgd", "deepfool", "lbfgs", "fgsm", "square", "noise", "hop_skip_jump"])
def test_verdicts_do_not_depend_on_the_batch_size(name):
    net, x = mlp(), images(12 if name == "lbfgs" else 40)
    label = net(x).argmax(1)
    record = attacks.build(name, SHORT.get(name, {}))
    results = [attack(record, net, x, batch_size) for batch_size in (1, 7, 50, 256)]
    verdicts = [net(result.candidates).argmax(1) != label for result in results]
    for other, verdict in zip(results[1:], verdicts[1:], strict=True):
        assert torch.equal(verdict, verdicts[0])
        close = (size(other.candidates - x, "l2") - size(results[0].candidates - x, "l2")).abs() < 2e-3
        assert close.float().mean() > 0.9
    again = attack(record, net, x, 7)
    assert torch.equal(again.candidates, results[1].candidates)  # the same batch size: the same bits


class Hungry(nn.Module):
    """Runs out of memory above a given batch."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.net, self.most = mlp(), most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(x)


@pytest.mark.parametrize("name", ["pgd", "deepfool", "fgsm", "lbfgs"])
def test_lack_of_memory_halves_the_window_and_changes_nothing(name):
    x, record = images(30), attacks.build(name)
    expected = attack(record, mlp(), x, 3)
    goal = Goal(mlp()(x).argmax(1), 5)
    oracle = Oracle(Hungry(4).eval(), CPU, 30)
    outcome = run(record, oracle, Job(x, goal, Draw(keys(0, record.fingerprint(), [str(i) for i in range(30)]))))
    assert oracle.batch_size <= 4
    assert set(outcome.reasons()) == {"ok"}
    change = (size(outcome.candidates - x, "l2") / size(expected.candidates - x, "l2") - 1).abs()
    assert change.median() < 1e-4  # another batch rounds otherwise, and a line search may turn on that
    assert change.max() < 0.1


def test_lack_of_memory_at_batch_size_one_is_a_failed_sample():
    x = images(3)
    goal = Goal(torch.zeros(3, dtype=torch.long), 5)
    outcome = run(attacks.build("pgd"), Oracle(Hungry(0).eval(), CPU, 4), Job(x, goal, Draw(keys(0, "", "abc"))))
    assert set(outcome.reasons()) == {"out of memory at batch size 1"}


class NaNGradient(nn.Module):
    """Finite logits whose gradient is NaN for images that are bright in one pixel: 0 * infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return self.net(x) + (first - first.detach()).sqrt() * (first > 0.5) * 0


@pytest.mark.parametrize("name", ["pgd", "deepfool", "lbfgs", "fgsm"])
def test_gradients_that_are_not_finite_fail_the_sample(name):
    x = images(30)
    params = {"random_start": False, "epsilon": 1e-4} if name == "pgd" else {}
    outcome = attack(attacks.build(name, params), NaNGradient().eval(), x)
    assert set(outcome.reasons()) == {"gradient or logits not finite"}


def test_zero_gradients_are_counted():
    class Flat(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :3] > 0.5).float() + 0 * x.flatten(1)[:, :3]

    outcome = attack(attacks.build("pgd", {"steps": 5}), Flat().eval(), images(6))
    assert (outcome.zero_gradient > 0).any()


def test_a_bug_in_an_attack_is_not_swallowed():
    class Broken(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError("bug")

    goal = Goal(torch.zeros(4, dtype=torch.long), 5)
    with pytest.raises(ZeroDivisionError):
        run(attacks.build("pgd"), Oracle(Broken(), CPU, 4), Job(images(4), goal, Draw(keys(0, "", "abcd"))))


class Judged(StepAttack):
    """Two steps: a loser with a very good score, then a winner with a very bad one."""

    card: ClassVar[Card] = Card("judged", "none", "0000.00000", "none")

    def start(self, x, goal, draw):
        return State(x, goal, draw, x, torch.zeros(len(x)), torch.zeros(len(x), dtype=torch.bool))

    def step(self, oracle, state):
        first = (state.candidate == state.x).flatten(1).all(1)
        candidate = state.x + torch.where(first, 1.0, 2.0).view(-1, 1, 1, 1)
        score = torch.where(first, -1e30, 1e30)
        return replace(state, candidate=candidate, won=~first, score=score, done=~first)


def test_a_success_is_kept_before_any_score():
    x = images(5)
    outcome = run(Judged(), Oracle(mlp(), CPU, 2), Job(x, Goal(torch.zeros(5).long(), 5), Draw(keys(0, "", "abcde"))))
    assert torch.equal(outcome.candidates, x + 2)


@pytest.mark.parametrize("name", ["pgd", "deepfool", "fgsm", "lbfgs"])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_what_is_counted_is_what_went_through_the_network(name, batch_size):
    class Counted(nn.Module):
        """Counts the rows that pass forward and backward."""

        forwards = backwards = 0

        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            Counted.forwards += len(x)
            z = self.net(x)
            if z.requires_grad:
                z.register_hook(lambda gradient: setattr(Counted, "backwards", Counted.backwards + len(gradient)))
            return z

    net, x = Counted().eval(), images(20)
    record = attacks.build(name, {"epsilon": 0.05, "steps": 6} if name == "pgd" else {})
    goal = Goal(mlp()(x).argmax(1), 5)
    outcome = run(record, Oracle(net, CPU, batch_size), Job(x, goal, Draw(keys(0, "", [str(i) for i in range(20)]))))
    assert int(outcome.forwards.sum()) == Counted.forwards
    assert int(outcome.backwards.sum()) == Counted.backwards


@pytest.mark.parametrize("name", ["pgd", "fgsm", "lbfgs"])
def test_a_step_that_ran_out_of_memory_is_counted_once(name):
    x, record = images(30), attacks.build(name, {"steps": 6, "stop": "never"} if name == "pgd" else {})
    goal = Goal(mlp()(x).argmax(1), 5)

    class Bursts(nn.Module):
        """Forward passes of any size, but backward passes of at most 7."""

        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            z = self.net(x)
            if z.requires_grad:
                z.register_hook(self.burst)
            return z

        def burst(self, gradient):
            if len(gradient) > 7:
                raise torch.OutOfMemoryError("CUDA out of memory")

    job = Job(x, goal, Draw(keys(0, record.stream(), [str(i) for i in range(30)])))
    outcome = run(record, Oracle(Bursts().eval(), CPU, 30), job)
    assert set(outcome.reasons()) == {"ok"}
    if name == "lbfgs":  # each of its steps is one of both
        assert torch.equal(outcome.forwards, outcome.backwards)
    else:
        assert set(outcome.forwards.tolist()) == {{"pgd": 7, "fgsm": 1}[name]}


def test_the_pass_before_another_attack_goes_on_is_on_the_bill():
    """Five candidates, one look at the best of them, then 4 steps of PGD that cannot succeed: 5 + 1 + 5 forwards."""

    class Slow(nn.Module):
        calls = 0

        def forward(self, x):
            Slow.calls += 1
            z = torch.cat([x.flatten(1)[:, :1] * 0 + 1, x.flatten(1)[:, :1] * 1e-3], 1)
            if Slow.calls == 6:
                time.sleep(0.2)
            return z

    then = {"pgd": {"epsilon": 0.01, "steps": 4}}
    record = attacks.build("spatial", {"search": "worst_of_k", "k": 5, "then": then})
    goal = Goal(torch.zeros(1, dtype=torch.long), 2)
    outcome = run(record, Oracle(Slow().eval(), CPU, 1), Job(images(1), goal, Draw(keys(0, "", "a"))))
    assert outcome.forwards.tolist() == [5 + 1 + 5]
    assert outcome.seconds.sum() > 0.2
