"""Attacks in turn: who works on what, what it costs, what is stored, and lists that make no sense."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

import pytest
import torch
from pydantic import Field

from robustbench_lite.attacks import Cascade
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import Attack, State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.helpers import attack, images, mlp


def both(epsilon: float = 0.05) -> Attack:
    quick = {"pgd": {"steps": 1, "step_size": 0.02, "random_start": False}, "as": "quick"}
    return attacks.build("cascade", {"epsilon": epsilon, "attacks": [quick, "apgd"]})


def test_each_attack_works_on_what_those_before_it_left():
    net, x = mlp(), images(40)
    outcome = attack(both(), net, x)
    label = net(x).argmax(1)
    broken = net(outcome.candidates).argmax(1) != label
    quick, slow = ((outcome.maker == i) & broken for i in (0, 1))
    assert quick.sum() > 2 and slow.sum() > 2 and (~broken).sum() > 2  # else this says nothing
    assert (outcome.forwards[quick] <= 3).all()  # of one step, and a look at what came of it
    alone = attack(attacks.build("apgd", {"epsilon": 0.05}), net, x)
    survivors = net(alone.candidates).argmax(1) == label
    assert (survivors == broken).sum() <= 2  # random starts of its own
    few = outcome.forwards[~broken] - (3 + 103)  # both: their steps, where they begin, and a look; apgd: the image
    assert (few >= 0).all() and (few < 10).all()  # some steps are computed again for the few that go on
    notes = " ".join(outcome.told())
    assert f"quick: breaks {int(quick.sum())} of 40" in notes
    assert f"apgd: breaks {int(slow.sum())} of {40 - int(quick.sum())}" in notes


def test_a_candidate_beyond_the_budget_breaks_nothing():
    """A member that looks for the smallest perturbation may come back with one that is too large."""
    net, x = mlp(), images(40)
    record = attacks.build("cascade", {"epsilon": 0.03, "attacks": ["fab"]})
    outcome = attack(record, net, x)
    alone = size(attack(attacks.build("fab"), net, x).candidates - x, "linf")
    won = net(outcome.candidates).argmax(1) != net(x).argmax(1)
    assert torch.equal(won, alone <= 0.03 * (1 + 1e-5))
    assert 2 < won.sum() < 38
    assert float(size(outcome.candidates - x, "linf").max()) <= 0.03 * (1 + 1e-5)


def test_what_is_broken_beyond_the_budget_alone_is_passed_on():
    net, x, epsilon = mlp(), images(40), 0.05
    far = {"deepfool": {"overshoot": 0.9}}
    outcome = attack(attacks.build("cascade", {"epsilon": epsilon, "attacks": [far, "apgd"]}), net, x)
    label = net(x).argmax(1)
    fool = attack(attacks.build("deepfool", far["deepfool"] | {"norm": "linf"}), net, x)
    alone = net(attack(attacks.build("apgd", {"epsilon": epsilon}), net, x).candidates).argmax(1) != label
    beyond = alone & (size(fool.candidates - x, "linf") > epsilon * (1 + 1e-4))
    assert beyond.sum() > 2
    assert (net(outcome.candidates).argmax(1) != label)[beyond].all()
    assert (outcome.maker[beyond] == 1).all()


def test_of_what_nobody_breaks_the_candidate_with_the_largest_margin_stays():
    net, x = mlp(), images(40)
    slow = {"pgd": {"steps": 1, "step_size": 0.001, "random_start": False}, "as": "slow"}
    outcome = attack(attacks.build("cascade", {"epsilon": 0.03, "attacks": ["apgd", slow]}), net, x)
    left = net(outcome.candidates).argmax(1) == net(x).argmax(1)
    assert left.sum() > 2
    assert (outcome.maker[left] == 0).all()  # the last one hardly moves


def test_the_same_attack_again_draws_anew():
    net, x = mlp(), images(40)
    noise = {"noise": {"draws": 1}}
    outcome = attack(attacks.build("cascade", {"epsilon": 0.3, "attacks": [noise, noise]}), net, x)
    assert ((outcome.maker == 1) & (net(outcome.candidates).argmax(1) != net(x).argmax(1))).any()


@pytest.mark.parametrize("batch_size", [1, 7])
def test_verdicts_do_not_depend_on_the_batch(batch_size):
    net, x = mlp(), images(20)
    small, large = (attack(both(), net, x, n).candidates for n in (batch_size, 64))
    assert torch.equal(net(small).argmax(1), net(large).argmax(1))


class Broken(StepAttack):
    """Proposes what is not there, and says that it won: the judge has the last word."""

    card: ClassVar[Card] = Card(title="Broken", paper="none", arxiv="0000.00000", protocol="None.")
    norm: Literal["linf"] = Field("linf", description="Norm of the ball.")
    epsilon: float = Field(8 / 255, gt=0, description="Radius of the ball.")

    def start(self, x, goal, draw):
        return State(x, goal, draw, x, torch.full((len(x),), -1.0), torch.zeros(len(x), dtype=torch.bool))

    def step(self, oracle, state):
        done = torch.ones_like(state.done)
        return State(state.x, state.goal, state.draw, state.x + float("nan"), state.score, done, won=done)


def test_a_member_that_claims_what_is_not_so_stops_nobody(monkeypatch):
    monkeypatch.setattr(attacks, "_members", {**attacks._load(), "broken": Broken})
    monkeypatch.setattr(Broken, "registered", "broken")
    net, x = mlp(), images(20)
    outcome = attack(attacks.build("cascade", {"epsilon": 0.1, "attacks": ["broken", "apgd"]}), net, x)
    alone = attack(attacks.build("apgd", {"epsilon": 0.1}), net, x)
    fooled = [net(one.candidates).argmax(1) != net(x).argmax(1) for one in (outcome, alone)]
    assert fooled[1].any() and torch.equal(*fooled)
    assert (outcome.maker != 0).all()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["nothing"], "unknown attack 'nothing'"),
        ([{"apgd": {"epsilon": 0.1}}], "epsilon is that of the whole list"),
        ([{"apgd": {"goal": "label"}}], "goal is that of the whole list"),
        ([{"apgd": {"steps": 0}}], "steps"),
        (["spatial"], "bounds no norm"),
        (["universal"], "cannot be one of the list"),
        (["cascade"], "cannot be one of the list"),
        ([{"apgd": {}, "as": "one"}, {"pgd": {}, "as": "one"}], "two attacks of the list are called 'one'"),
        ([{"apgd": {}, "pgd": {}}], "expected an attack and its parameters"),
        ([], "at least 1"),
    ],
)
def test_lists_that_make_no_sense_are_refused_with_a_sentence(entries, said):
    with pytest.raises(SuiteError, match=said):
        attacks.build("cascade", {"attacks": entries})
    with pytest.raises(UsageError, match=said):
        Cascade(attacks=entries)


def test_an_attack_that_cannot_be_targeted_is_refused_where_there_is_a_target():
    attacks.build("cascade", {"norm": "l2", "attacks": ["deepfool"]})
    with pytest.raises(SuiteError, match="target"):
        attacks.build("cascade", {"norm": "l2", "attacks": ["deepfool"], "target": 3})


def test_members_have_the_target_of_the_list():
    record = attacks.build("cascade", {"attacks": ["apgd", "square"], "target": 3})
    assert [one.target for one in record.members.values()] == [3, 3]


def test_a_list_is_what_is_stored_of_it():
    record = both()
    assert attacks.build("cascade", record.params()) == record
    other = attacks.build("cascade", {"epsilon": 0.05, "attacks": [{"pgd": {"steps": 2}, "as": "quick"}, "apgd"]})
    assert other.fingerprint() != record.fingerprint()
    assert list(attacks.build("cascade", {"attacks": ["apgd", "apgd"]}).members) == ["apgd", "apgd-2"]


def test_another_version_of_a_member_is_another_cell(monkeypatch):
    before = attacks.build("autoattack").fingerprint()
    monkeypatch.setattr(attacks["square"], "version", 99)
    assert attacks.build("autoattack").fingerprint() != before


@pytest.mark.parametrize("edition", ["standard", "plus", "rand"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_autoattack_is_a_list(edition, norm):
    record = attacks.build("autoattack", {"edition": edition, "norm": norm, "epsilon": 0.5, "target": 1})
    assert {(one.threat, one.target) for one in record.members.values()} == {(norm, 1)}
    assert record.typical_passes == sum(one.typical_passes for one in record.members.values())
    names = [one.registered for one in record.members.values()]
    assert names[0] == "apgd" and ("square" in names) == (edition != "rand")


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_too_few_classes_for_the_ratio_are_said(classes):
    goal = Goal(torch.zeros(4, dtype=torch.int64), classes)
    said = attacks.build("autoattack").remarks(goal)
    assert [text.split(":")[0] for text in said] == (["apgd-t"] if classes < 4 else [])
    assert len(attacks.build("apgd", {"loss": "dlr"}).remarks(goal)) == (classes < 3)


SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 8}},
    "models": ["fc500_150_10_mnist"],
    "attacks": [{"cascade": {"epsilon": 0.05, "attacks": [{"fgsm": {}, "as": "one step"}, "apgd"]}}, "deepfool"],
    "images": "all",
    "tables": ["cost"],
}


def test_a_run_stores_who_broke_what_and_verifies(tmp_path):
    run(SUITE, tmp_path)
    results = read(tmp_path / "small")
    samples = results.samples()
    rows = samples[samples["attack"] == "cascade"]
    assert set(rows["broken_by"].dropna()) <= {"one step", "apgd"}
    assert rows["success"].any() and (rows["broken_by"].isna() != rows["success"]).all()
    assert samples[samples["attack"] == "deepfool"]["broken_by"].isna().all()
    cell = results.cells().set_index("attack").loc["cascade"]
    assert cell["status"] == "ok" and any("one step: breaks" in note for note in cell["notes"])
    assert json.loads(cell["params"])["attacks"][0]["as"] == "one step"
    assert verify(tmp_path / "small", "cpu").disagreements == ()
