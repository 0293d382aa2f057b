"""A run of defended classifiers: who ignores the defence, who goes through it, what is proven; tables and trust."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_lite.gate.scores import scores_of
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.trust.smell import cases, checks, doubts, doubts_of

SUITE = {
    "version": 1,
    "name": "defended",
    "data": {"mnist": {"samples": 20, "stratified": True}},
    "models": [
        "lenet_mnist",
        {"defended": "lenet_mnist", "by": {"jpeg": {"quality": 25}}},
        {"defended": "lenet_mnist", "by": {"random_resize_pad": {"times": 2}}},
        {"defended": "lenet_mnist", "by": {"randomized_smoothing": {"times": 3, "n0": 10, "n": 60}}},
    ],
    "attacks": [
        {"pgd": {"epsilon": 0.2, "steps": 16, "sources": ["lenet_mnist"]}, "as": "oblivious"},
        {"pgd": {"epsilon": 0.2, "steps": 16}, "as": "adaptive"},
        {"pgd": {"norm": "l2", "epsilon": 0.3, "steps": 2}, "as": "near"},
    ],
    "tables": ["defense", "certified_accuracy", "robust_accuracy", "trust"],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_suite(load(SUITE), Options(tmp_path_factory.mktemp("defended"), timing=False))


NAMES = [f"lenet_mnist behind {name}" for name in ("jpeg", "random_resize_pad", "randomized_smoothing")]


def table(results, name):
    """Its rows, of numbers their values and of labels their texts."""
    rows = tables.make(name, results).rows
    return [{key: cell.text if cell.value is None else cell.value for key, cell in row.items()} for row in rows]


def one(results, model, variant):
    (found,) = (each for each in evaluations(results) if (each.model, each.variant) == (model, variant))
    return found


def test_who_goes_through_a_defence_leaves_no_more(results):
    first, *defended = [row for row in table(results, "defense") if row["norm"] == "linf"]
    assert first["defense"] == "none" and first["oblivious"] == ""
    assert [row["defense"] for row in defended] == ["jpeg", "random_resize_pad", "randomized_smoothing"]
    assert all(row["adaptive"] <= row["oblivious"] <= row["clean"] for row in defended)
    assert defended[0]["adaptive"] < defended[0]["oblivious"]
    held = one(results, NAMES[0], "oblivious").robust.mean()
    assert defended[0]["oblivious"] == pytest.approx(100 * held)


def test_the_lesson_stands_with_the_table(results):
    first = tables.make("defense", results).footnotes[0]
    assert first.startswith("mnist, linf at most 0.2: who attacks lenet_mnist alone leaves ")
    assert "right behind 3 defences; who goes through them leaves " in first


def test_what_the_oblivious_attacker_left_is_red_where_the_other_breaks_it(results):
    oblivious = one(results, NAMES[0], "oblivious")
    red = {doubt.check for doubt in doubts_of(results, oblivious)}
    assert red == {"oblivious"}
    # the numbers of the classifier that it did see, in the same cell, stand
    assert not doubts(results)[oblivious.id] and not doubts_of(results, one(results, "lenet_mnist", "oblivious"))
    by_name = {(each.facts["model"], each.facts["variant"]): each.red for each in scores_of(results)}
    assert by_name[NAMES[0], "oblivious"] == ("oblivious",) and by_name["lenet_mnist", "oblivious"] == ()


def test_without_an_attack_through_the_defence_nobody_can_tell(tmp_path):
    suite = SUITE | {"attacks": SUITE["attacks"][:1], "models": SUITE["models"][:2]}
    found = run_suite(load(suite), Options(tmp_path, timing=False, limit=4))
    (case,) = cases(found)
    assert checks["oblivious"].look(case, (case,)).level == "unknown"
    plain, defended = table(found, "defense")
    assert plain["adaptive"] < 100 and defended["oblivious"] > 0 and defended["adaptive"] == "—"


def test_certificates_are_stored_and_no_attack_contradicts_them(results):
    smoothed = one(results, NAMES[2], "near")
    assert smoothed.rows["certified_class"].null_count == 0
    held = (smoothed["certified_class"] == smoothed["label"]) & (smoothed["certified_radius"] > smoothed.epsilon)
    assert not (held & ~smoothed.correct).any()
    assert one(results, NAMES[0], "near").rows["certified_class"].null_count == 20


def test_certified_accuracy_falls_with_the_radius_and_is_at_most_what_attacks_leave(results):
    rows = table(results, "certified_accuracy")
    shares = [row["certified"] for row in rows]
    assert shares == sorted(shares, reverse=True) and shares[0] > 50 and shares[-1] == 0
    radii = [row["radius"] for row in rows]
    assert radii == sorted(radii) and 0.3 in radii
    assert all(row["certified"] <= row["attacked"] for row in rows if row["attacked"] != "")
    assert " of 20 abstained; sigma = 0.25, n0 = 10, n = 60, alpha = 0.001" in str(
        tables.make("certified_accuracy", results).footnotes
    )
    (line,) = (
        row for row in table(results, "defense") if row["norm"] == "l2" and row["defense"] == NAMES[2].split()[-1]
    )
    assert line["certified"] == next(row["certified"] for row in rows if row["radius"] == 0.3)


def test_batches_and_the_suite_around_change_nothing(results, tmp_path):
    """Random defences too: every verdict, and every certificate, is the same in batches of 5."""
    suite = SUITE | {"models": SUITE["models"][2:], "attacks": SUITE["attacks"][2:]}
    for again in evaluations(run_suite(load(suite), Options(tmp_path, timing=False, batch_size=5))):
        first = one(results, again.model, again.variant)
        assert first.samples == again.samples and np.array_equal(first.correct, again.correct)
        assert np.array_equal(first["certified_radius"], again["certified_radius"], equal_nan=True)


def test_a_run_verifies(results):
    report = verify(results.folder, "cpu")
    assert report.sound, report


def test_results_without_defences_say_so(tmp_path):
    suite = SUITE | {"models": ["lenet_mnist"], "attacks": ["fgsm"], "tables": ["defense"]}
    found = run_suite(load(suite), Options(tmp_path, timing=False, limit=2))
    assert "no classifier in these results stands behind a defence" in tables.make("defense", found).footnotes
    assert (
        "no classifier in these results comes with a certificate" in tables.make("certified_accuracy", found).footnotes
    )
    assert "defenses" not in found.run
