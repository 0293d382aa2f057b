"""Expectation over transformation: the plain attack without transformations, closed forms, and a judge of its own."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.judge import Panel
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import AttackError
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import run
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import rows
from robustbench_lite.transforms.distribution import Distribution, operations
from tests.helpers import CPU, ROOT, attack, images, mlp
from tests.linear import problems

STILL = [{"rotation": {"degrees": 0}}, {"brightness": {"add": 0}}, {"noise": {"std": 0}}]
LIGHT = [{"brightness": {"add": [-0.3, 0.3]}}]


def eot(**params):
    return attacks.build("eot", params)


@pytest.mark.parametrize("under", [None, STILL], ids=["no operations", "zero width"])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_without_transformations_it_is_the_plain_attack_exactly(under, norm):
    same = {"norm": norm, "epsilon": 0.02, "steps": 7, "step_size": 0.002}
    for problem in problems()[2:]:  # linear, with logits far enough apart: the plain attack's best iterate is its last
        goal = Goal(problem.logits().argsort(1)[:, -2], problem.classes, targeted=True)
        ours = attack(eot(under=under, draws=1, **same), problem.module, problem.x, goal=goal)
        plain = attacks.build("pgd", {"random_start": False, "stop": "never", **same})
        theirs = attack(plain, problem.module, problem.x, goal=goal)
        grown = goal.loss(problem.module(theirs.candidates)) > goal.loss(problem.logits())
        assert grown.all()
        assert torch.equal(ours.candidates, theirs.candidates)


def test_of_a_curved_classifier_it_keeps_the_last_iterate_of_the_plain_attack():
    net, x = mlp(), images(30)
    same = {"epsilon": 0.05, "steps": 7}
    ours = attack(eot(under=STILL, **same), net, x)
    theirs = attack(attacks.build("mifgsm", {"decay": 0, "step_size": 2.5 * 0.05 / 7, **same}), net, x)
    assert torch.equal(ours.candidates, theirs.candidates)
    assert (ours.forwards == 7).all() and (ours.backwards == 7).all()  # ten equal draws are one


@pytest.mark.parametrize("params", [{}, {"penalty": [0.1, 1], "steps": 3, "held_out": 5}], ids=["ball", "penalty"])
def test_the_batch_size_changes_no_more_than_rounding(params):
    net, x = mlp(shape=(3, 6, 6)), images(9, (3, 6, 6))
    record = eot(
        optimizer="adam", step_size=0.01, under=["affine", {"noise": {}}], **{"steps": 4, "draws": 3, **params}
    )
    one, *others = (attack(record, net, x, size) for size in (1, 7, 64))
    for other in others:
        assert torch.allclose(one.candidates, other.candidates, atol=1e-5)
        assert torch.equal(one.forwards, other.forwards)


def test_no_step_looks_at_more_than_a_batch():
    seen = []
    net, x = mlp(shape=(3, 6, 6)), images(9, (3, 6, 6))
    net.register_forward_hook(lambda _net, inputs, _output: seen.append(len(inputs[0])))
    outcome = attack(eot(steps=2, draws=6, penalty=[1], held_out=10, under=["noise"]), net, x, 7)
    assert max(seen[1:]) == 7  # the first is the helper's own
    assert (outcome.forwards == 2 * 6 + 10).all()
    assert (outcome.backwards == 2 * 6).all()
    pairs_ = list(pairs(3, 5, 4))
    assert max(len(row) for row, _ in pairs_) == 4
    assert {(int(r), int(d)) for row, draw in pairs_ for r, d in zip(row, draw, strict=True)} == set(
        itertools.product(range(3), range(5))
    )


class Window(nn.Module):
    """Class 1 inside a window of mean grey, else class 0: as smooth as it takes."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x):
        grey = x.flatten(1).mean(1)
        inside = 200 * torch.minimum(grey - self.low, self.high - grey)
        return torch.stack([torch.zeros_like(inside), inside], 1)


def test_the_expectation_is_met_where_the_plain_attack_stops_at_the_edge():
    """Views add u from U(-0.1, 0.1): class 1 in a window of width 0.2 has probability 1 in its middle, 1/2 at its edge.

    The plain attack is inside the window after one step and has no reason to go on; the mean over views has.
    """
    net, under = Window(0.5, 0.7), [{"brightness": {"add": [-0.1, 0.1]}}]
    x = torch.full((4, 1, 4, 4), 0.45)
    goal = Goal(torch.ones(4, dtype=torch.int64), 2, targeted=True)
    record = eot(epsilon=0.3, steps=40, step_size=0.005, draws=20, under=under)
    found = attack(record, net, x, goal=goal).candidates
    plain = attack(attacks.build("pgd", {"epsilon": 0.3, "step_size": 0.06, "random_start": False}), net, x, goal=goal)
    panel = Panel(Distribution(record.under), net, CPU, 64, 1000, 0, list("abcd"))
    label = torch.zeros(4, dtype=torch.int64)
    share = lambda images: panel.columns(x, images, label, goal)[0]["draws_target"] / 1000
    assert found.mean() == pytest.approx(0.6, abs=0.02)
    assert (share(found) > 0.9).all()
    edge = float(plain.candidates.mean())
    assert 0.5 < edge < 0.53
    expected = 0.5 + (edge - 0.5) / 0.2  # the part of U(-0.1, 0.1) that stays above the lower edge
    assert share(plain.candidates).numpy() == pytest.approx(expected, abs=0.05)


def test_the_judges_views_are_fresh_and_the_same_for_all():
    seen: dict[str, set[float]] = {"attack": set(), "judge": set()}

    class Spy(Window):
        where = "attack"

        def forward(self, x):
            seen[self.where] |= set(x.flatten(1).mean(1).tolist())
            return super().forward(x)

    spy, x = Spy(0.2, 0.9), torch.full((3, 1, 2, 2), 0.4)
    record = eot(epsilon=1e-9, penalty=None, steps=5, draws=20, under=LIGHT)  # the image itself, in 100 views
    outcome = attack(record, spy, x, goal=Goal(torch.zeros(3, dtype=torch.int64), 2))
    assert torch.allclose(outcome.candidates, x)
    spy.where = "judge"
    panel = Panel(Distribution(record.under), spy, CPU, 7, 50, 0, ["0", "1", "2"])  # the ids of the helper's draws
    first, broken = panel.columns(
        x, outcome.candidates, torch.ones(3, dtype=torch.int64), Goal(torch.zeros(3).long(), 2)
    )
    assert len(seen["judge"]) > 140
    assert len(seen["attack"]) > 290
    grid = lambda values: {round(value, 6) for value in values}
    assert len(grid(seen["judge"]) & grid(seen["attack"])) <= 2  # chance
    assert not broken.any()
    assert torch.equal(first["draws_label"], first["clean_draws_label"])
    assert "draws_target" not in first
    again = Panel(Distribution(record.under), spy, CPU, 64, 50, 0, ["0", "1", "2"])
    assert torch.equal(again.count(x, torch.ones(3, 1).long())[0][:, 0], first["draws_label"])
    other = Panel(Distribution(record.under), spy, CPU, 64, 50, 1, ["0", "1", "2"])
    assert not torch.equal(other.count(x, torch.ones(3, 1).long())[0][:, 0], first["draws_label"])


def test_the_judge_counts_what_a_closed_form_says():
    """Of x + U(-0.3, 0.3) around 0.4 the window [0.5, 0.6] holds a sixth."""
    x = torch.full((20, 1, 2, 2), 0.4)
    views = Distribution((operations.build("brightness", LIGHT[0]["brightness"]),))
    panel = Panel(views, Window(0.5, 0.6), CPU, 64, 1000, 0, [str(i) for i in range(20)])
    counts, _ = panel.count(x, torch.tensor([[0, 1]]).expand(20, 2))
    assert (counts.sum(1) == 1000).all()
    assert counts[:, 1].float().mean() / 1000 == pytest.approx(1 / 6, abs=0.01)
    assert counts[:, 1].unique().numel() > 5  # each image its own draws


def test_training_and_held_out_draws_are_disjoint():
    draw = rows(Draw(keys(0, "a", ["s"])), torch.zeros(200, dtype=torch.int64))
    views = Distribution((operations.build("brightness", {"add": [-0.3, 0.3]}),))
    x = torch.full((200, 1, 1, 1), 0.5)
    training, held = views.see(x, draw, torch.arange(200)), views.see(x, draw, -1 - torch.arange(200))
    assert not set(training.flatten().tolist()) & set(held.flatten().tolist())


def test_a_larger_penalty_moves_less_and_the_list_keeps_the_least_that_suffices():
    net, x = mlp(shape=(3, 6, 6)), 0.2 + 0.6 * images(8, (3, 6, 6))
    goal = Goal((net(x).argmax(1) + 1) % 5, 5, targeted=True)
    options = {"optimizer": "adam", "step_size": 0.03, "steps": 12, "draws": 2, "held_out": 20, "under": ["noise"]}
    moved, won = {}, {}
    for penalty in ([0.001], [0.1], [0.001, 0.1]):
        outcome = attack(eot(penalty=penalty, **options), net, x, goal=goal)
        moved[tuple(penalty)] = size(outcome.candidates - x, "l2")
        won[tuple(penalty)] = net(outcome.candidates).argmax(1) == goal.label
    assert moved[0.1,].mean() < 0.8 * moved[0.001,].mean()
    assert won[0.001,].all()
    both, chosen = moved[0.001, 0.1], won[0.001, 0.1]
    assert (both <= moved[0.001,] * 1.1).all() and chosen.float().mean() > 0.8  # other draws move it otherwise
    assert (both < 0.8 * moved[0.001,]).any()  # where the larger one suffices


def test_a_distance_of_colours_needs_colours():
    with pytest.raises(AttackError, match="expected 3 channels, got 1"):
        attack(eot(penalty=[1]), mlp(), images(3))


SUITE = {
    "version": 1,
    "name": "views",
    "seed": 0,
    "data": {"mnist": {"samples": 6}},
    "models": ["lenet_mnist"],
    "under": ["affine", {"noise": {"std": [0, 0.05]}}],
    "defaults": {name: {"epsilon": 0.3, "evaluation_draws": 100, "target": "next"} for name in ("pgd", "eot")},
    "attacks": [
        {"pgd": {"steps": 15, "stop": "never"}},
        {"eot": {"steps": 15, "draws": 8}},
        {"fgsm": {"under": None}},
    ],
    "tables": ["eot"],
}


def test_a_run_scores_every_attack_in_the_same_views(tmp_path):
    frame = run(SUITE, tmp_path).samples().set_index("attack")
    assert (frame.loc[["pgd", "eot"], "draws"] == 100).all()
    assert frame.loc["fgsm", ["draws", "draws_label", "clean_draws_label"]].isna().all().all()
    pgd, ours = (frame.loc[name].set_index("sample") for name in ("pgd", "eot"))
    assert (pgd["clean_draws_label"] == ours["clean_draws_label"]).all()
    assert (pgd["clean_draws_target"] == ours["clean_draws_target"]).all()
    assert (ours["draws_target"] + ours["draws_label"] <= 100).all()
    assert ours["draws_target"].mean() > pgd["draws_target"].mean() + 3
    table = tables.make("eot", read(tmp_path / "views"))
    assert [row["attack"].text for row in table.rows] == ["pgd", "eot"]
    value = table.rows[1]["adversariality"]
    assert value.value == pytest.approx(ours["draws_target"].mean())
    assert value.low is None and "[" not in value.text  # an interval of six images would say nothing
    assert (table.rows[1]["n"].value, table.rows[1]["draws"].value) == (6, 100)
    assert "affine (degrees 22.5, scale 0.9 to 1.4, translation in_bounds); noise (std 0 to 0.05)" in table.footnotes[1]


def test_untargeted_adversariality_is_not_being_the_label(tmp_path):
    attacks_ = [{"pgd": {"epsilon": 0.1, "steps": 3, "evaluation_draws": 40}}]
    frame = run({**SUITE, "attacks": attacks_, "defaults": {}}, tmp_path).samples()
    assert frame["draws_target"].isna().all()
    row = tables.make("eot", read(tmp_path / "views")).rows[0]
    assert row["adversariality"].value == pytest.approx(100 - row["accuracy"].value)


@pytest.mark.parametrize("name", ["eot", "eot_cifar10", "eot_imagenet"])
def test_the_suites_score_eot_beside_the_plain_attack_of_the_same_size(name):
    suite = load(ROOT / "suites" / f"{name}.yaml")
    found = {entry.attack.registered for entry in suite.attacks}
    assert {"eot", "pgd"} <= found
    assert all(entry.attack.evaluation_draws == 1000 for entry in suite.attacks)
    assert len({entry.attack.under for entry in suite.attacks}) == 1
