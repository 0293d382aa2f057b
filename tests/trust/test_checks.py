"""Each smell, planted and absent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustbench_lite.results.store import Store, read
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


def test_the_table_counts_warnings_and_explains_them(tmp_path):
    write(tmp_path, cell_row("a", near_ties=5))
    write(tmp_path, cell_row("b", "fc", status="failed", error="no"), rows=[])
    Store(tmp_path).write_run({"models": ["lenet", "fc"]})
    table = tables.make("trust", read(tmp_path))
    assert len(table.rows) == len(CHECKS)  # a failed cell has no number to doubt
    words = [row["level"].text for row in table.rows]
    assert table.footnotes[0].startswith(f"{words.count('WARNING')} warning")
    assert words == sorted(words, key=lambda word: word != "WARNING")
    assert any(note.startswith("near ties: ") for note in table.footnotes)
    assert np.all([check.why.endswith(".") and check.title for check in CHECKS.values()])
