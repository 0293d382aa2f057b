"""Whether numbers stand, in words, and what to do: of every threat model, from the checks of its own cells alone."""

from __future__ import annotations

from robustbench_lite.report.page import page
from robustbench_lite.report.ranking import rankings
from robustbench_lite.report.standing import standing
from robustbench_lite.results.store import Store, read
from robustbench_lite.trust.smell import checks
from tests.synthetic import cell_row, two, write

SURE = {"linf": 0.1, "success_8bit": True}


def budgets(folder, **warned):
    """One classifier at two budgets; `warned`: what the cell of the larger one said while it ran."""
    for eps in (0.1, 0.2):
        cell = cell_row(f"c{eps}", "lenet", "pgd", norm="linf", eps=eps, goal="label", params="{}")
        write(folder, cell | (warned if eps == 0.2 else {}), clean_correct=True, adv_pred=2, success=True, **SURE)
    Store(folder).write_run({"models": ["lenet"], "cells": ["c0.1", "c0.2"], "finished": "now"})
    return read(folder)


def test_a_doubt_is_said_where_it_belongs_and_nowhere_else(tmp_path):
    results = budgets(tmp_path, warnings=["clean accuracy 10 % is far from the card's 99 %"])
    small, large = rankings(results)
    assert standing(results, small).level == "ok" and not standing(results, small).reasons
    found = standing(results, large)
    assert (found.level, found.said) == ("doubt", "The number of lenet does not stand; do not quote it.")
    (reason,) = found.reasons
    assert (reason.title, reason.remedy) == ("clean accuracy", checks["clean_accuracy"].remedy)
    text = page([results])
    assert text.count('<div class="stands doubt">') == text.count('<div class="stands ok">') == 1
    assert f"<b>What to do:</b> {checks['clean_accuracy'].remedy.split(',')[0]}" in text


def test_a_warning_is_said_and_the_number_stands(tmp_path):
    results = two(tmp_path, params='{"clip": false}')
    (found,) = rankings(results)
    said = standing(results, found)
    assert said.level == "warning" and not said.reasons
    assert said.said.startswith("These numbers stand. Before you quote them: declared without clipping")


def test_every_check_says_what_to_do():
    assert [check.name for check in checks.values() if not check.remedy.endswith(".")] == []
