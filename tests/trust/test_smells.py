"""Each smell, planted and absent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustbench_lite.results.store import Store, read
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.trust.smell import cases, checks, doubts
from tests.synthetic import cell_row, sample_rows

CHECKS = {check.name: check for check in checks.values()}


def write(folder, cell, *, rows=None, **columns):
    """A cell whose samples have these columns: a value for all, or a list."""
    made = rows or sample_rows(cell)
    made = [
        row | {name: value[i] if isinstance(value, list) else value for name, value in columns.items()}
        for i, row in enumerate(made)
    ]
    Store(folder).write(cell["cell"], made, cell)


def levels(folder, name, run=None):
    Store(folder).write_run(run or {"models": ["lenet", "fc"]})
    everything = cases(read(folder))
    return [CHECKS[name].look(case, everything) for case in everything]


@pytest.mark.parametrize(("largest", "level"), [(0.1, "ok"), (0.1000005, "ok"), (0.11, "warning")])
def test_contract(tmp_path, largest, level):
    cell = cell_row("c", attack="pgd", norm="linf", eps=0.1)
    write(tmp_path, cell, linf=[0.05] * 19 + [largest])
    (found,) = levels(tmp_path, "contract")
    assert found.level == level


def test_unclipped_attacks_are_marked(tmp_path):
    write(tmp_path, cell_row("c", params=json.dumps({"clip": False})))
    (found,) = levels(tmp_path, "contract")
    assert found.level == "warning"
    assert "leave [0, 1]" in found.text


@pytest.mark.parametrize(("kept", "level"), [(20, "ok"), (18, "ok"), (17, "warning")])
def test_eight_bit(tmp_path, kept, level):
    write(tmp_path, cell_row("c"), success=True, success_8bit=[i < kept for i in range(20)])
    (found,) = levels(tmp_path, "eight_bit")
    assert found.level == level
    assert f"{kept} of 20" in found.text


def test_no_success_cannot_be_rounded(tmp_path):
    write(tmp_path, cell_row("c"), success=False, success_8bit=False)
    assert levels(tmp_path, "eight_bit")[0].level == "unknown"


@pytest.mark.parametrize(("success", "level"), [(True, "ok"), (False, "warning")])
def test_zero_gradients_matter_where_the_sample_was_not_broken(tmp_path, success, level):
    write(tmp_path, cell_row("c"), zero_gradient=[3, 3] + [0] * 18, success=success)
    assert levels(tmp_path, "zero_gradient")[0].level == level


def test_clean_accuracy(tmp_path):
    far = "clean accuracy 10.0% (n=20) is far from the card's 99.0%: wrong normalisation, weights or data?"
    write(tmp_path, cell_row("a", warnings=[far]))
    write(tmp_path, cell_row("b", "fc", clean_accuracy=0.9, card_accuracy=0.91))
    write(tmp_path, cell_row("c", "fc", "lbfgs"))
    assert [found.level for found in levels(tmp_path, "clean_accuracy")] == ["warning", "ok", "unknown"]


@pytest.mark.parametrize(
    ("calibration", "level"),
    [
        ({"deepfool": {"checks": 8, "failed": []}}, "ok"),
        ({"deepfool": {"checks": 8, "failed": ["ten classes, l2: expected all, found 3/24"]}}, "warning"),
        ({"pgd": {"checks": 8, "failed": []}}, "unknown"),
        (None, "unknown"),
    ],
)
def test_bracket(tmp_path, calibration, level):
    write(tmp_path, cell_row("c"))
    assert levels(tmp_path, "bracket", {"calibration": calibration})[0].level == level


@pytest.mark.parametrize(
    ("broken", "facts", "level", "red"),
    [
        (200, {}, "ok", False),
        (199, {}, "warning", False),
        (197, {}, "warning", True),
        (0, {}, "warning", True),
        (0, {"eps": 0.1}, "ok", False),  # may fail
        (150, {"params": '{"fraction": 0.5}'}, "ok", False),  # was asked for no more
        (0, {"norm": None}, "ok", False),
        (0, {"sources": ["fc"], "source": "fc"}, "unknown", False),  # made for another classifier
    ],
)
def test_an_attack_without_a_budget_succeeds(tmp_path, broken, facts, level, red):
    cell = cell_row("c", **facts)
    write(tmp_path, cell, rows=sample_rows(cell, 200), success=[i < broken for i in range(200)])
    (found,) = levels(tmp_path, "unbounded")
    assert (found.level, found.red) == (level, red)
    assert (f"{broken} of 200" in found.text) is (not facts)


def test_only_what_takes_the_number_away_is_red(tmp_path):
    """Many near ties, unclipped images and successes that do not survive 8 bits are to be known; the number stands."""
    write(tmp_path / "a", cell_row("c", near_ties=9, params='{"clip": false}'), success=True, success_8bit=False)
    write(tmp_path / "b", cell_row("c"), zero_gradient=1, success=[i > 3 for i in range(20)])
    said = {side: cases(read(tmp_path / side)) for side in "ab"}
    looks = [check.look(said["a"][0], said["a"]) for check in CHECKS.values()]
    assert sum(found.level == "warning" for found in looks) == 3
    assert doubts(read(tmp_path / "a")) == {"c": ()}
    assert [doubt.check for doubt in doubts(read(tmp_path / "b"))["c"]] == ["unbounded", "zero_gradient"]


@pytest.mark.parametrize(("ties", "level"), [(0, "ok"), (1, "warning")])
def test_near_ties(tmp_path, ties, level):
    write(tmp_path, cell_row("c", near_ties=ties))
    assert levels(tmp_path, "near_ties")[0].level == level


@pytest.mark.parametrize(("longer", "level"), [(4, "ok"), (12, "warning")])
def test_more_steps(tmp_path, longer, level):
    """Four of twenty are broken in 10 steps."""
    for steps, broken in ((10, 4), (40, longer)):
        cell = cell_row(f"s{steps}", attack="pgd", params=json.dumps({"steps": steps, "epsilon": 0.1}))
        write(tmp_path, cell, success=[i < broken for i in range(20)])
    first, second = levels(tmp_path, "more_steps")
    assert first.level == level
    assert second.level == "unknown"  # nothing runs longer than 40


def test_an_attack_that_takes_no_step_is_a_control(tmp_path):
    """It is expected to be weak, and says nothing about whether an attack that does take steps has converged."""
    for steps, broken in ((0, 0), (20, 15)):
        cell = cell_row(f"s{steps}", attack="recolor", params=json.dumps({"steps": steps}))
        write(tmp_path, cell, success=[i < broken for i in range(20)])
    control, attack = levels(tmp_path, "more_steps")
    assert (control.level, attack.level) == ("ok", "unknown") and "control" in control.text


@pytest.mark.parametrize(("theirs", "level"), [(3, "ok"), (15, "warning")])
def test_a_black_box_that_beats_the_white_box(tmp_path, theirs, level):
    """The classifier's own attack breaks three of twenty."""
    params = json.dumps({"epsilon": 0.1, "sources": "single"})
    for source, broken in (("lenet", 3), ("fc", theirs)):
        cell = cell_row(source, source, "pgd", params=params, models=["lenet", "fc"])
        rows = [
            row | {"model": model, "success": i < broken if model == "lenet" else True}
            for model in ("lenet", "fc")
            for i, row in enumerate(sample_rows(cell))
        ]
        write(tmp_path, cell, rows=rows)
    found = levels(tmp_path, "black_box", {"models": ["lenet", "fc"], "cells": ["lenet", "fc"]})
    assert found[0].level == level
    assert found[1].level == "ok"


MISLED = "the gradient does not predict how the loss changes on 7 of 8 images"


@pytest.mark.parametrize(
    ("facts", "red"),
    [
        ({}, False),
        ({"warnings": [MISLED], "warning_kinds": ["gradients"]}, True),
        ({"warnings": [MISLED], "warning_kinds": ["gradients"], "backwards": 0}, False),  # asks for none
        ({"warnings": [MISLED], "warning_kinds": ["other"]}, False),
        ({"warnings": [f"fc: {MISLED}"], "warning_kinds": ["gradients"], "models": ["fc"]}, False),  # only scored
        ({"warnings": [f"lenet: {MISLED}"], "warning_kinds": ["gradients"], "models": ["fc"]}, True),
    ],
)
def test_a_gradient_that_predicts_nothing_matters_where_it_is_followed(tmp_path, facts, red):
    write(tmp_path, cell_row("c", **facts))
    assert levels(tmp_path, "misleading_gradient")[0].red is red


@pytest.mark.parametrize(("left", "eps", "red"), [(0, 0.3, False), (1, 0.3, True), (0, None, True)])
def test_nothing_can_look_robust_where_a_budget_broke_every_sample(tmp_path, left, eps, red):
    """Sizes, of an attack without a budget, are too large all the same."""
    facts = {"attack": "pgd", "norm": "linf", "eps": eps, "warnings": [MISLED], "warning_kinds": ["gradients"]}
    cell = cell_row("c", **facts)
    write(tmp_path, cell, rows=sample_rows(cell, failures=left))
    assert levels(tmp_path, "misleading_gradient")[0].red is red


def bounded(cell, attack="pgd", **changes):
    params = changes.pop("params", {"steps": 10, "epsilon": 0.1})
    return cell_row(cell, attack=attack, norm="linf", eps=0.1, goal="label", params=json.dumps(params), **changes)


def first(n):
    return [i < n for i in range(20)]


def fallen(n):
    return {"success": first(n), "adv_pred": [2 if i < n else 0 for i in range(20)]}


@pytest.mark.parametrize(
    ("one", "facts", "level"),
    [
        (5, {}, "ok"),
        (8, {}, "ok"),  # may be chance
        (14, {}, "warning"),
        (14, {"eps": 0.2}, "unknown"),  # another budget
        (14, {"goal": "target"}, "unknown"),
        (14, {"params": '{"epsilon": 0.1, "clip": false}'}, "unknown"),  # another threat
        (14, {"many": {"fit_n": 10}}, "ok"),  # one perturbation for all
    ],
)
def test_one_step_that_beats_many(tmp_path, one, facts, level):
    """Six of twenty are broken in ten steps."""
    facts = dict(facts)
    write(tmp_path, bounded("many") | facts.pop("many", {}), **fallen(6))
    write(tmp_path, bounded("one", "fgsm", params={"epsilon": 0.1}) | facts, **fallen(one))
    found = dict(zip(("many", "one"), levels(tmp_path, "one_step", {"cells": ["many", "one"]}), strict=True))
    assert (found["many"].level, found["many"].red) == (level, level == "warning")
    assert found["one"].level == "ok"  # is itself of one step


@pytest.mark.parametrize(
    ("broken", "size", "facts", "red"),
    [
        (6, 0.1, {}, False),
        (6, 0.04, {}, True),
        (6, [0.04] * 13 + [0.1] * 7, {}, False),  # seven of fourteen
        (20, 0.01, {}, False),  # broken early
        (6, 0.01, {"spends": True}, True),
        (6, 0.01, {"spends": False}, False),  # looks for the smallest
        (6, 0.01, {"eps": None}, False),
        (6, 0.01, {"fit_n": 10}, False),  # one perturbation for all
    ],
)
def test_a_budget_that_is_not_spent(tmp_path, broken, size, facts, red):
    write(tmp_path, bounded("c") | facts, linf=size, **fallen(broken))
    assert levels(tmp_path, "budget_unused")[0].red is red


def test_whether_a_budget_is_spent_is_what_the_attack_declares(tmp_path):
    """Of attacks in turn what one of them declares; a budget this small breaks nothing."""
    smallest, both = [{"fab": {"steps": 3}}], [{"fab": {"steps": 3}}, {"pgd": {"steps": 3}}]
    lists = [{"cascade": {"epsilon": 1e-4, "attacks": one}, "as": name} for name, one in (("a", smallest), ("b", both))]
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 6}}, "models": ["lenet_mnist"], "images": "none"}
    results = run_suite(load({**plain, "attacks": [*lists, "fab"]}), Options(results=tmp_path, timing=False))
    assert list(results.cells()["spends"]) == [False, True, False]
    assert (results.samples().query("variant == 'a'")["linf"] == 0).all()
    assert not any(one.check == "budget_unused" for every in doubts(results).values() for one in every)


@pytest.mark.parametrize(
    ("size", "steps", "broken", "red"),
    [(0.01, 10, 6, False), (0.009, 10, 6, True), (0.009, 10, 20, False), (None, 10, 6, False), (0.025, 40, 6, False)],
)
def test_steps_that_cannot_cross_the_budget(tmp_path, size, steps, broken, red):
    write(tmp_path, bounded("c", params={"steps": steps, "step_size": size, "epsilon": 0.1}), **fallen(broken))
    assert levels(tmp_path, "reach")[0].red is red


@pytest.mark.parametrize(
    ("aims", "facts", "level"),
    [
        (3, {}, "ok"),
        ([3] * 12 + [4] * 8, {}, "warning"),
        (4, {"eps": 0.2}, "unknown"),
        (4, {"goal": "label"}, "unknown"),
    ],
)
def test_targets_that_differ(tmp_path, aims, facts, level):
    write(tmp_path, bounded("a") | {"goal": "target"}, target=3)
    write(tmp_path, bounded("b", source="fc") | {"goal": "target"} | facts, target=aims)
    found = levels(tmp_path, "targets", {"cells": ["a", "b"]})[0]
    assert (found.level, found.red) == (level, False)
    assert ("on 8 of 20 samples" in found.text) is (level == "warning")


@pytest.mark.parametrize(
    ("facts", "columns", "red"),
    [
        ({}, {}, True),
        ({}, {"forwards": 50}, False),  # found more, for more
        ({}, {"linf": 0.11}, False),  # outside of the budget
        ({}, fallen(8), False),  # may be chance
        ({}, {"clean_correct": False}, False),  # was wrong before
        ({"params": '{"clip": false}'}, {}, False),  # not an image
        ({"models": ["fc"], "source": "fc"}, {}, False),  # of another classifier
        ({"mine": {"goal": "target"}}, {}, False),  # wants more than another class
        ({"mine": {"fit_n": 10}}, {}, False),  # one perturbation for all
        (
            {"sources": ["fc"], "source": "fc"},
            {"forwards": 50},
            True,
        ),  # whoever does not see it may spend what it wants
        ({"mine": {"backwards": 0}}, {}, False),  # whoever sees no gradient is slower
        ({"mine": {"backwards": 0}, "backwards": 0}, {}, True),  # not than others of its kind
        ({"mine": {"backwards": 0, "attack": "noise"}, "backwards": 0}, {}, False),  # does not try
    ],
)
def test_another_cell_succeeds_within_this_budget_for_less(tmp_path, facts, columns, red):
    """Six of twenty fall to ten steps, sixteen to a minimal attack of as many passes."""
    facts = dict(facts)
    write(tmp_path, bounded("mine") | facts.pop("mine", {}), forwards=10, backwards=10, linf=0.1, **fallen(6))
    theirs = {"forwards": 10, "backwards": 10, "linf": 0.09, **fallen(16)} | columns
    write(tmp_path, cell_row("theirs", goal="label", params="{}") | facts, **theirs)
    found = levels(tmp_path, "within_budget", {"cells": ["mine", "theirs"]})
    assert [one.red for one in found] == [red, False]


def test_the_table_counts_warnings_and_explains_them(tmp_path):
    write(tmp_path, cell_row("a", near_ties=5))
    write(tmp_path, cell_row("b", "fc", status="failed", error="no"), rows=[])
    Store(tmp_path).write_run({"models": ["lenet", "fc"]})
    table = tables.make("trust", read(tmp_path))
    assert len(table.rows) == len(CHECKS)  # a failed cell has no number to doubt
    words = [row["level"].text for row in table.rows]
    assert table.footnotes[0].startswith(f"{words.count('RED')} red and {words.count('WARNING')} warning")
    assert words == sorted(words, key=lambda word: ["RED", "WARNING"].index(word) if word in {"RED", "WARNING"} else 2)
    assert any(note.startswith("  near ties: ") for note in table.footnotes)
    assert np.all([check.why.endswith(".") and check.title for check in CHECKS.values()])
