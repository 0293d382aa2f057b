"""A sample is robust at a budget if it was right and nothing in the run broke it within: planted rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustbench_lite.engine import judge
from robustbench_lite.report.ranking import rankings
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.store import Store, read
from robustbench_lite.results.worst_case import allowed, pool_of, robust, success_sizes, worst_case_of, worst_cases
from tests.synthetic import cell_row, write

EPS, N = 0.1, 6


def plant(folder, name, sizes, *, eps=None, norm="linf", clean=None, seed=0, **changes):
    """A cell whose attack broke the samples with a finite size; `clean`: which were right before."""
    params = json.dumps(changes.pop("params", {}) | {"seed": seed})
    changes = {"goal": "label", "attack": "pgd" if eps else "deepfool", "model": "lenet"} | changes
    samples = changes.pop("columns", {})
    cell = cell_row(name, norm=norm, eps=eps, params=params, variant=name, n=len(sizes), **changes)
    before = [True] * len(sizes) if clean is None else clean
    won = [bool(np.isfinite(size)) for size in sizes]
    columns = {
        "clean_correct": before,
        "clean_pred": [0 if right else 1 for right in before],
        "adv_pred": [2 if broken or not right else 0 for broken, right in zip(won, before, strict=True)],
        "success": won,
        norm or "linf": [float(size) if np.isfinite(size) else eps or 9.0 for size in sizes],
    }
    write(folder, cell, n=len(sizes), **(columns | samples))


def run_of(folder, **more):
    names = sorted(path.stem for path in (folder / "cells").glob("*.parquet"))
    Store(folder).write_run({"name": "planted", "cells": names, "models": ["lenet", "fc"]} | more)
    return read(folder)


def judged(results, name="pgd", model="lenet"):
    (one,) = [one for one in evaluations(results) if one.id == name and one.model == model]
    return one, robust(results, one).tolist()


INF = np.inf
KEPT = [True] * N  # nothing else counts: pgd alone broke nobody


def test_what_a_minimal_attack_breaks_within_the_budget_is_not_robust(tmp_path):
    """The first at half of the budget, the second exactly on it, the third just above it."""
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    plant(tmp_path, "deepfool", [0.05, EPS, 0.1002, 0.5, INF, INF])
    one, found = judged(run_of(tmp_path))
    assert found == [False, False, True, True, True, True]
    assert one.robust.tolist() == KEPT  # the cell's own verdict stays what it was


def test_the_judge_and_the_rule_agree_on_what_is_within():
    assert judge.allowed is allowed
    assert allowed(EPS) > EPS and allowed(0.0) > 0 and allowed(0.3) < 0.3 + 1e-5


@pytest.mark.parametrize(
    "other",
    [
        {"eps": 0.05},  # a smaller budget
        {"eps": EPS, "attack": "mifgsm"},
        {"goal": "target", "eps": EPS},  # it left the true label, and that is what counts
        {"goal": "prediction"},
        {"source": "fc", "sources": ["fc"], "models": ["lenet"], "eps": EPS},  # made for another classifier
        {"source": "fc+lenet", "sources": ["fc", "lenet"], "models": ["lenet"], "eps": EPS},
        {"params": {"fraction": 0.9}, "attack": "fgsm"},  # one size for all
        {"fit_n": 100, "eps": EPS, "attack": "universal"},  # which each image may have
    ],
    ids=", ".join,
)
def test_any_attack_in_the_norm_counts(tmp_path, other):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    plant(tmp_path, "other", [INF, 0.04] + [INF] * (N - 2), **other)
    assert judged(run_of(tmp_path))[1] == [True, False, True, True, True, True]


def test_a_targeted_attack_that_missed_its_target_and_left_the_label_counts(tmp_path):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    columns = {"success": False, "adv_pred": [5] + [0] * (N - 1)}
    plant(tmp_path, "aimed", [0.04] * N, eps=EPS, goal="target", columns=columns)
    assert judged(run_of(tmp_path))[1] == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"norm": "l2"},
        {"norm": None, "attack": "spatial"},  # rotations: another threat model
        {"params": {"clip": False}},  # images may leave [0, 1]
        {"dataset": "fashion"},
        {"model": "fc"},
        {"columns": {"draws": 10, "draws_label": 0, "clean_draws_label": 10}},  # seen through random views
        {"columns": {"status": "candidate not finite"}},  # not judged to be one
    ],
    ids=", ".join,
)
def test_what_is_another_threat_model_does_not_count(tmp_path, other):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    plant(tmp_path, "other", [0.04] * N, **other)
    assert judged(run_of(tmp_path))[1] == KEPT


def test_a_success_counts_where_other_samples_of_its_cell_failed(tmp_path):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    columns = {"status": ["ok"] * (N - 1) + ["candidate not finite"]}
    plant(tmp_path, "other", [0.04] * N, columns=columns)
    assert judged(run_of(tmp_path))[1] == [False] * (N - 1) + [True]


def test_who_may_leave_the_box_need_not(tmp_path):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS, params={"clip": False})
    plant(tmp_path, "inside", [0.04] + [INF] * (N - 1))
    results = run_of(tmp_path)
    assert judged(results)[1] == [False] + [True] * (N - 1)
    assert [case.evaluation.robust.tolist() for case in worst_cases(results)] == [[False] + [True] * (N - 1)]


def test_a_cell_that_is_not_of_this_run_does_not_count(tmp_path):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    plant(tmp_path, "earlier", [0.04] * N)
    assert judged(run_of(tmp_path, cells=["pgd"]))[1] == KEPT


def test_samples_are_told_by_their_ids_not_their_places(tmp_path):
    plant(tmp_path, "pgd", [INF] * N, eps=EPS)
    plant(tmp_path, "turned", [0.04] + [INF] * (N - 1), columns={"sample": [f"s{N - 1 - i:03}" for i in range(N)]})
    plant(tmp_path, "few", [0.04], columns={"sample": ["s002"]})
    assert judged(run_of(tmp_path))[1] == [True, True, False, True, True, False]


def test_what_was_wrong_before_is_not_robust_and_breaks_nothing(tmp_path):
    """DeepFool has nothing to do on such a sample: a size of 0, which is no success of anybody's."""
    clean = [False] + [True] * (N - 1)
    plant(tmp_path, "pgd", [INF] * N, eps=EPS, clean=clean)
    plant(tmp_path, "deepfool", [0.0] + [INF] * (N - 1), clean=clean)
    results = run_of(tmp_path)
    one, found = judged(results)
    assert found == clean
    assert pool_of(results, one).nearest(one.samples).sizes.tolist() == [INF] * N
    assert pool_of(results, one).sizes(one).tolist() == [0.0] + [INF] * (N - 1)


def test_a_budget_stands_in_for_a_size_that_is_not_stored_or_rounded_up(tmp_path):
    plant(tmp_path, "pgd", [0.1 + 1e-6, INF], eps=EPS)
    plant(tmp_path, "old", [0.1, INF], eps=EPS, columns={"linf": [None, None]})
    by_name = {one.id: success_sizes(one).tolist() for one in evaluations(run_of(tmp_path))}
    assert by_name == {"pgd": [EPS, INF], "old": [EPS, INF]}


def test_numbers_changed_are_counted_where_l0_is_the_norm(tmp_path):
    """`l0` counts pixels, whatever channels they have; the budget counts components."""
    components = {"l0": 1, "l0_components": [2, 3, None]}
    plant(tmp_path, "sigma_zero", [2.0] * 3, norm="l0", columns=components)
    plant(tmp_path, "l0_attack", [INF] * 3, norm="l0", eps=2.0, columns={"l0_components": 2})
    assert judged(run_of(tmp_path), "l0_attack")[1] == [False, True, True]


def test_a_black_box_stays_one(tmp_path):
    """Who did not see the classifier is another threat model: his number is his own."""
    plant(tmp_path, "box", [INF] * N, eps=EPS, source="fc", sources=["fc"], models=["lenet"])
    plant(tmp_path, "deepfool", [0.04] * N)
    results = run_of(tmp_path)
    one, found = judged(results, "box")
    assert found == KEPT and worst_case_of(results, one) is None


def test_a_larger_budget_is_never_safer(tmp_path):
    """Whatever weak attack runs there: robust accuracy falls with the budget."""
    rng = np.random.default_rng(0)
    for i, eps in enumerate([0.05, 0.1, 0.2]):
        sizes = [eps if hit else INF for hit in rng.random(40) < 0.3]
        plant(tmp_path, f"pgd{i}", sizes, eps=eps)
    plant(tmp_path, "deepfool", rng.uniform(0, 0.4, 40).tolist())
    cases = worst_cases(run_of(tmp_path))
    first, second, third = (case.evaluation.robust for case in cases)
    assert [case.epsilon for case in cases] == [0.05, 0.1, 0.2]
    assert [case.robust.tolist() for case in cases] == [case.evaluation.robust.tolist() for case in cases]
    assert (first >= second).all() and (second >= third).all() and first.sum() > third.sum()


def test_the_worst_case_is_an_evaluation_made_of_the_rows_that_decide(tmp_path):
    plant(tmp_path, "pgd", [0.1, INF, INF], eps=EPS, forwards=30, backwards=30)
    plant(tmp_path, "deepfool", [0.02, 0.03, 0.3], forwards=12, backwards=9)
    (case,) = worst_cases(run_of(tmp_path))
    one = case.evaluation
    assert one.samples == ["s000", "s001", "s002"] and one.robust.tolist() == [False, False, True]
    assert one["linf"].tolist() == [0.02, 0.03, EPS]  # of the last: what pgd left behind
    assert [other.id for other in case.others] == ["deepfool"]
    assert (one.norm, one.epsilon, one.own, one.ok, one.passes) == ("linf", EPS, True, True, 81)
    assert one.variant == "worst case, linf at most 0.1"


def test_the_headline_is_the_worst_case_and_names_who_helped(tmp_path):
    cheap, dear = ({"forwards": passes, "backwards": passes} for passes in (5, 50))  # else the cheaper one is a smell
    plant(tmp_path, "pgd", [INF] * 20, eps=EPS, columns=cheap)
    plant(tmp_path, "pgd_fc", [0.1] * 9 + [INF] * 11, eps=EPS, model="fc", columns=cheap)
    plant(tmp_path, "deepfool", [0.05] * 15 + [0.5] * 5, columns=dear)
    found = next(one for one in rankings(run_of(tmp_path)) if one.threat == "linf at most 0.1")
    assert [(entry.model, entry.estimate.value) for entry in found.entries] == [("fc", 0.55), ("lenet", 0.25)]
    assert found.entries[1].attacks == ("pgd", "deepfool") and found.entries[0].attacks == ("pgd_fc",)
    assert found.answer == "fc holds out best: 55.0 % of the images stay right"
