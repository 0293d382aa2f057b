"""What an attack declares that it asks for is all that it gets."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from robustbench_lite.attacks.square import Square
from robustbench_lite.engine.access import narrower
from robustbench_lite.engine.attack import SetAttack, State, StepAttack
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Crafted, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU, attack, images, mlp

ASK = {
    "labels": lambda oracle, state: oracle.reached(state.x, state.goal),
    "scores": lambda oracle, state: oracle.logits(state.x),
    "gradients": lambda oracle, state: oracle.differentiate(state.x),
}
LEVELS = list(ASK)


def asking(asked: str, allowed: str) -> StepAttack:
    class Asking(StepAttack):
        card: ClassVar[Card] = Card("asks", "none", "0000.00000", "none")
        access: ClassVar = allowed

        def start(self, x, goal, draw):
            return State(x, goal, draw, x, torch.zeros(len(x)), torch.zeros(len(x), dtype=torch.bool))

        def step(self, oracle, state):
            ASK[asked](oracle, state)
            return replace(state, done=torch.ones_like(state.done))

    return Asking()


@pytest.mark.parametrize("allowed", LEVELS)
@pytest.mark.parametrize("asked", LEVELS)
def test_an_attack_gets_what_it_declares_and_no_more(asked, allowed):
    record, net, x = asking(asked, allowed), mlp(), images(3)
    if LEVELS.index(asked) <= LEVELS.index(allowed):
        assert (attack(record, net, x).forwards == 1).all()
        return
    with pytest.raises(AttackError, match=f"gets by with {allowed}, as it declares; this one asks for {asked}"):
        attack(record, net, x)


def test_what_was_allowed_before_is_allowed_afterwards():
    oracle = Oracle(mlp(), CPU)
    with pytest.raises(AttackError), oracle.limited("labels"):
        oracle.logits(images(2))
    assert oracle.access == "gradients"
    oracle.differentiate(images(2))


def test_an_attack_made_of_others_cannot_be_lent_more_than_it_declares():
    class Inner(SetAttack):
        card: ClassVar[Card] = Card("lends", "none", "0000.00000", "none")
        access: ClassVar = "scores"

        def craft(self, oracle, job):
            return Crafted(run(asking("gradients", "gradients"), oracle, job).candidates)

    x = images(3)
    job = Job(x, Goal(torch.zeros(3, dtype=torch.int64), 5), Draw(keys(0, "", "abc")))
    with pytest.raises(AttackError, match="asks for gradients"):
        run(Inner(), Oracle(mlp(), CPU), job)
    assert narrower("scores", "gradients") == narrower("gradients", "scores") == "scores"


def test_decisions_are_those_of_the_logits():
    net, x = mlp(), images(30)
    label = torch.zeros(30, dtype=torch.int64)
    oracle = Oracle(net, CPU).each()[0]
    for goal in (Goal(label, 5), Goal(label, 5, targeted=True)):
        with oracle.limited("labels"):
            assert torch.equal(oracle.reached(x, goal), goal.secured(net(x)))
    assert (oracle.ledger.counts == 0).all()  # no window was opened


def test_a_classifier_without_gradients_can_be_attacked_by_its_scores():
    net = mlp()

    class Closed(torch.nn.Module):
        def forward(self, x):
            with torch.no_grad():
                return net(x)

    x = images(20)
    outcome = attack(Square(epsilon=0.2, n_queries=100), Closed().eval(), x)
    assert (net(outcome.candidates).argmax(1) != net(x).argmax(1)).float().mean() > 0.9
    assert (outcome.backwards == 0).all()
