"""`compare` and the worst case: a line of its own where several attacks count, paired sample by sample."""

from __future__ import annotations

import numpy as np

from robustbench_lite.tables.compare import Side, changes
from tests.results.test_worst_case import plant, run_of

INF, N = np.inf, 20


def both(tmp_path, first, second, **more):
    """Two runs: of 20 samples how many pgd breaks, and how many of the first ones DeepFool does within the budget."""
    sides = []
    for name, (pgd, deepfool) in {"a": first, "b": second}.items():
        plant(tmp_path / name, "pgd", [INF] * (N - pgd) + [0.1] * pgd, eps=0.1)
        plant(tmp_path / name, "deepfool", [0.05] * deepfool + [0.5] * (N - deepfool))
    for name, given in more.items():
        plant(tmp_path / name[0], name, **given)
    sides = [Side(name, run_of(tmp_path / name), None) for name in "ab"]
    found = changes(*sides)
    assert len(found.table().rows) == len(found.pairs) + len(found.worst)
    return {pair.variant: pair for pair in (*found.pairs, *found.worst)}


def test_the_worst_case_is_compared_beside_the_attacks_that_it_is_made_of(tmp_path):
    found = both(tmp_path, (5, 0), (5, 12))
    assert list(found) == ["deepfool", "pgd", "worst case, linf at most 0.1"]
    worst = found["worst case, linf at most 0.1"]
    assert (found["pgd"].lost, worst.lost, worst.won, worst.n) == (0, 12, 0, N)
    assert worst.direction == -1 and [int(part.sum()) for part in worst.robust] == [15, 3]


def test_pgd_that_stopped_working_makes_no_worst_case_better(tmp_path):
    found = both(tmp_path, (20, 20), (0, 20))
    assert found["pgd"].won == 20 and found["worst case, linf at most 0.1"].won == 0


def test_another_attack_on_one_side_is_no_change_of_the_classifier(tmp_path):
    found = both(tmp_path, (5, 0), (5, 0), b_more={"sizes": [0.1] * N, "eps": 0.1, "attack": "mifgsm"})
    assert list(found) == ["deepfool", "pgd"]


def test_a_single_attack_says_it_itself(tmp_path):
    for name in "ab":
        plant(tmp_path / name, "pgd", [INF] * N, eps=0.1)
    found = changes(*(Side(name, run_of(tmp_path / name), None) for name in "ab"))
    assert [pair.variant for pair in found.pairs] == ["pgd"] and not found.worst


def test_two_classifiers_of_one_run(tmp_path):
    for model, within in (("lenet", 2), ("fc", 9)):
        plant(tmp_path, f"pgd {model}", [INF] * N, eps=0.1, model=model)
        plant(tmp_path, f"deepfool {model}", [0.05] * within + [0.5] * (N - within), model=model)
    results = run_of(tmp_path)
    found = changes(Side("lenet", results, "lenet"), Side("fc", results, "fc"))
    (worst,) = found.worst
    assert (worst.lost, worst.won) == (7, 0)
