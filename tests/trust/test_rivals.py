"""An attack beside noise, and beside attacks without gradients: classifiers that hide theirs, and honest ones."""

from __future__ import annotations

import tempfile
from functools import cache

import pytest
import torch

import robustbench_lite as rbl
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.results.store import Store, read
from robustbench_lite.trust.smell import cases, checks
from tests.attacks.test_attacks import digits
from tests.helpers import ROOT
from tests.synthetic import cell_row, sample_rows

ATTACKS = [
    {"pgd": {"epsilon": 0.4, "steps": 10, "random_start": False}},
    {"square": {"epsilon": 0.4, "n_queries": 300}},
    {"noise": {"epsilon": 0.4, "draws": 20}},
]


class Rounded(torch.nn.Module):
    """Rounds its images to a few levels, and has no gradient."""

    def __init__(self):
        super().__init__()
        self.net = Zoo(zoo="lenet_mnist").load(ROOT).module

    def forward(self, x):
        return self.net((x * 4).round() / 4 + 0 * x)


@cache
def looked(kind: str) -> dict[tuple[str, str], object]:
    """What the checks say of each attack on the classifier."""
    net = Rounded().eval() if kind == "masked" else Zoo(zoo="lenet_mnist").load(ROOT).module
    _, x, y = digits(40)
    suite = {"version": 1, "name": kind, "attacks": ATTACKS}
    with tempfile.TemporaryDirectory() as folder:
        rbl.run(suite, models={"net": net}, data={"mine": (x, y)}, results=folder, timing=False)
        everything = cases(read(f"{folder}/{kind}"))
        return {
            (case.scored[0].attack, name): checks[name].look(case, everything)
            for case in everything
            for name in ("black_box", "random_noise")
        }


@pytest.mark.parametrize("check", ["black_box", "random_noise"])
def test_a_classifier_without_a_gradient_is_given_away(check):
    assert looked("masked")["pgd", check].red, looked("masked")["pgd", check].text


@pytest.mark.parametrize("check", ["black_box", "random_noise"])
@pytest.mark.parametrize("attack", ["pgd", "square"])
def test_an_honest_one_is_not(check, attack):
    found = looked("honest")[attack, check]
    assert not found.red, found.text
    assert found.level == ("unknown" if (attack, check) == ("square", "black_box") else "ok")


def test_noise_itself_is_compared_with_nothing():
    assert looked("honest")["noise", "random_noise"].level == "unknown"


def written(folder, **attacks):
    """Cells on one classifier: (stored facts, broken samples of 40, size of each)."""
    for name, (facts, count, size) in attacks.items():
        cell = cell_row(
            name, attack=facts.pop("attack", name), variant=name, n=40, **{"norm": "linf", "eps": 0.1, **facts}
        )
        rows = [
            row | {"success": i < count, "linf": size, "clean_correct": True}
            for i, row in enumerate(sample_rows(cell, 40))
        ]
        Store(folder).write(cell["cell"], rows, cell)
    Store(folder).write_run({"models": ["lenet"]})
    everything = cases(read(folder))
    return lambda name, check: checks[check].look(next(c for c in everything if c.cell["cell"] == name), everything)


BLIND = {"backwards": 0}


@pytest.mark.parametrize(
    ("pgd", "square", "size", "red"),
    [(5, 20, 0.1, True), (20, 5, 0.1, False), (20, 22, 0.1, False), (5, 20, 0.2, False)],
)
def test_scores_alone_must_not_break_more_within_the_budget(tmp_path, pgd, square, size, red):
    look = written(tmp_path, pgd=({}, pgd, 0.1), square=(dict(BLIND), square, size))
    assert look("pgd", "black_box").red is red


def test_one_attack_with_gradients_that_is_as_strong_is_enough(tmp_path):
    look = written(tmp_path, fgsm=({}, 5, 0.1), pgd=({}, 20, 0.1), square=(dict(BLIND), 20, 0.1))
    assert not look("fgsm", "black_box").red


@pytest.mark.parametrize(("theirs", "red"), [(0.05, True), (0.09, False), (0.2, False)])
def test_decisions_alone_must_not_find_clearly_smaller_perturbations(tmp_path, theirs, red):
    look = written(
        tmp_path,
        deepfool=({"eps": None}, 40, 0.1),
        hop_skip_jump=({"eps": None, **BLIND}, 40, theirs),
    )
    assert look("deepfool", "black_box").red is red
    assert look("hop_skip_jump", "black_box").level == "unknown"


@pytest.mark.parametrize(
    ("pgd", "noise", "eps", "red"),
    [
        (5, 5, 0.1, True),
        (5, 8, 0.1, True),
        (20, 5, 0.1, False),
        (2, 2, 0.1, False),  # so few may lie at a boundary
        (0, 0, 0.1, False),
        (40, 40, 0.1, False),  # there is nothing left to break
        (5, 8, 0.2, False),  # larger than the attack
    ],
)
def test_noise_of_the_same_size_must_not_break_as_many(tmp_path, pgd, noise, eps, red):
    look = written(tmp_path, pgd=({}, pgd, 0.1), noise=({**BLIND, "eps": eps}, noise, eps))
    assert look("pgd", "random_noise").red is red


@pytest.mark.parametrize(("size", "red"), [(0.3, True), (0.05, False)])
def test_noise_must_not_be_smaller_than_a_smallest_perturbation(tmp_path, size, red):
    look = written(tmp_path, deepfool=({"eps": None}, 40, size), noise=({**BLIND, "eps": 0.1}, 30, 0.1))
    assert look("deepfool", "random_noise").red is red
