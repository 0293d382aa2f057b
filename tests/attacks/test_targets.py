"""Targets belong to the seed and the sample: every attack of a suite is given the same task."""

from __future__ import annotations

import pytest

from robustbench_lite.runner.run import run

SUITE = {
    "version": 1,
    "name": "targets",
    "seed": 0,
    "data": {"mnist": {"samples": 30}},
    "models": ["fc500_150_10_mnist"],
    "tables": ["accuracy"],
}


def targets(folder, attacks, seed=0, **options):
    """{variant: {sample: target}} of a run."""
    frame = run({**SUITE, "seed": seed, "attacks": attacks}, folder, **options).samples()
    parts = frame.groupby("variant")
    return {str(name): dict(zip(part["sample"], part["target"], strict=True)) for name, part in parts}


@pytest.mark.parametrize("target", ["random", "next", "least_likely"])
def test_attacks_of_a_suite_share_all_targets(tmp_path, target):
    several = [
        {"pgd": {"steps": 2, "target": target}, "as": "few steps"},
        {"pgd": {"steps": 4, "epsilon": 0.1, "target": target}, "as": "more steps"},
        {"mifgsm": {"steps": 1, "target": target}, "as": "another attack"},
    ]
    drawn = targets(tmp_path, several)
    assert drawn["few steps"] == drawn["more steps"] == drawn["another attack"]
    assert len(drawn["few steps"]) == 30


def test_random_targets_depend_on_the_seed_and_the_sample_and_on_nothing_else(tmp_path):
    attack = [{"pgd": {"steps": 1, "target": "random"}}]
    all_of_them = targets(tmp_path / "all", attack)["pgd"]
    few = targets(tmp_path / "few", attack, limit=10)["pgd"]
    assert len(few) == 10
    assert few.items() <= all_of_them.items()
    assert targets(tmp_path / "batches", attack, batch_size=7)["pgd"] == all_of_them
    assert targets(tmp_path / "seed", attack, seed=1)["pgd"] != all_of_them
    assert len(set(all_of_them.values())) > 5  # of ten classes


def test_the_true_class_is_never_the_target(tmp_path):
    frame = run({**SUITE, "attacks": [{"pgd": {"steps": 1, "target": "random"}}]}, tmp_path).samples()
    assert (frame["label"] != frame["target"]).all()
