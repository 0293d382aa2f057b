"""How attacks are used: what is stored of it, and what success is."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks.pgd import PGD
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.protocol import Protocol
from robustbench_lite.errors import AttackError
from robustbench_lite.threat.draws import Draw, keys

UNDER = [{"brightness": {"add": 0.1}}]
LABELS, CLEAN = torch.tensor([0, 1, 2]), torch.tensor([[3.0, 1, 2], [3, 1, 2], [3, 1, 2]])


@pytest.mark.parametrize("name", list(attacks))
def test_every_attack_has_the_same_keys_for_it(name):
    assert set(Protocol.model_fields) <= set(attacks[name].model_fields)


@pytest.mark.parametrize("name", ["pgd", "eot3d", "universal"])
def test_what_came_later_is_stored_where_views_are_asked_for_or_something_is_said(name):
    usual = attacks[name].model_fields["evaluation_draws"].default
    later = lambda **params: set(attacks.build(name, params).params()) & {"under", "evaluation_draws"}
    assert later() == later(evaluation_draws=usual) == set()
    assert later(evaluation_draws=7) == {"evaluation_draws"}
    assert later(under=UNDER) == {"under", "evaluation_draws"}


def test_an_attacks_own_later_parameters_are_left_out_one_by_one_while_they_are_as_usual():
    said = lambda **params: set(PGD(**params).params()) & {"loss", "targets"}
    assert said() == said(loss="ce", targets=1) == set()
    assert said(loss="margin") == {"loss"}
    assert said(targets=3) == {"targets"}
    assert PGD().fingerprint() == PGD(loss="ce").fingerprint() != PGD(loss="dlr").fingerprint()


@pytest.mark.parametrize(
    ("params", "aim", "expected"),
    [
        ({}, "label", [0, 1, 2]),
        ({"goal": "prediction"}, "prediction", [0, 0, 0]),
        ({"target": "next"}, "target", [1, 2, 0]),
        ({"target": "least_likely"}, "target", [1, 2, 1]),
        ({"target": 2}, "target", [2, 2, 2]),
    ],
)
def test_goals(params, aim, expected):
    attack = PGD(epsilon=8 / 255, steps=40, **params)
    goal = attack.goals(LABELS, CLEAN, Draw(keys(0, "targets", list("abc"))))
    assert (attack.aim, goal.label.tolist(), goal.targeted) == (aim, expected, aim == "target")


def test_random_targets_are_never_the_label_and_the_same_for_every_attack():
    draw = Draw(keys(0, "targets", [str(i) for i in range(60)]))
    label = torch.arange(60) % 3
    goals = [
        attacks.build(name, {"target": "random"}).goals(label, CLEAN.repeat(20, 1), draw) for name in ("pgd", "fgsm")
    ]
    assert torch.equal(goals[0].label, goals[1].label)
    assert (goals[0].label != label).all()
    assert set(goals[0].label.tolist()) == {0, 1, 2}


def test_a_target_that_is_no_class_is_one_sentence():
    with pytest.raises(AttackError, match="expected a class below 3, as many as the classifier has; got 3"):
        PGD(target=3).goals(LABELS, CLEAN, Draw(keys(0, "targets", list("abc"))))
