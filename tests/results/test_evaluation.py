"""The facts of a cell: each has one rule, and every reader asks for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_lite.report.trust import trust
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.schema import SAMPLES, Row
from robustbench_lite.results.store import Results, Store, read
from robustbench_lite.tables.base import tables
from robustbench_lite.trust.smell import cases, checks, doubts
from tests.helpers import ROOT
from tests.synthetic import cell_row, put, sample_rows, write


def one_of(folder: Path, cell: Row, **columns: object) -> Evaluation:
    write(folder, cell, **columns)
    (one,) = evaluations(read(folder))
    return one


def test_flags_are_flags_also_when_they_are_turned_round(tmp_path):
    one = one_of(tmp_path, cell_row("a"), n=4, success=[True, False, True, False])
    for name in ("success", "success_8bit", "clean_correct", "near_tie"):
        assert one[name].dtype == np.bool_, name
    assert (~one["success"]).tolist() == [False, True, False, True]  # of numbers it would be 254 and 255
    assert (~one.robust).dtype == np.bool_
    assert int((~one.success).sum()) == 2


def test_flags_without_a_row_are_flags_too(tmp_path):
    put(Store(tmp_path), cell_row("a", status="failed", error="no"))
    (one,) = evaluations(read(tmp_path))
    assert one["success"].dtype == one.robust.dtype == np.bool_ and len(one) == 0


def test_nobody_can_change_a_column_for_all_others(tmp_path):
    one = one_of(tmp_path, cell_row("a"))
    with pytest.raises(ValueError, match="read-only"):
        one["success"][0] = False
    with pytest.raises(TypeError):
        one.params["epsilon"] = 1.0


def test_a_sample_is_robust_where_it_is_right_before_and_after(tmp_path):
    """A sample that was wrong before and is right now is not; nor is one that is wrong, whatever the goal was."""
    columns = {"label": 0, "clean_correct": [True, True, False, False], "clean_pred": [0, 0, 1, 1]}
    one = one_of(tmp_path, cell_row("a"), n=4, adv_pred=[0, 2, 1, 0], success=[False, False, False, True], **columns)
    assert one.robust.tolist() == [True, False, False, False]
    assert one.correct.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("norm", "column"), [("l2", "rho"), ("linf", "rho_linf"), ("l1", "rho"), ("l1", "rho_l1"), ("l0", "rho_l0")]
)
def test_the_relative_size_is_in_the_norm_of_the_attack_and_a_failure_needs_an_infinite_one(tmp_path, norm, column):
    sizes = {"rho": [0.1, 0.2], "rho_linf": [0.3, 0.4]} | ({column: [0.5, 0.6]} if column[-1] in "01" else {})
    one = one_of(tmp_path, cell_row("a", norm=norm), n=2, success=[True, False], **sizes)
    assert one.relative_size.tolist() == sizes[column]
    assert one.needed.tolist() == [sizes[column][0], np.inf]


def test_a_size_that_is_not_stored_is_not_a_number(tmp_path):
    one = one_of(tmp_path, cell_row("a"), n=2, rho=[None, 0.2])
    assert one["rho"].dtype == np.float64 and np.isnan(one["rho"][0])


@pytest.mark.parametrize(
    ("norm", "eps", "params", "minimal", "unbounded"),
    [
        ("l2", None, {}, True, True),
        ("linf", None, {"fraction": 0.9}, True, False),  # one size for all
        ("linf", 0.1, {}, False, False),
        (None, None, {}, False, False),  # no norm describes it
    ],
)
def test_what_a_minimal_attack_is(tmp_path, norm, eps, params, minimal, unbounded):
    one = one_of(tmp_path, cell_row("a", norm=norm, eps=eps, params=json.dumps(params)))
    assert (one.minimal, one.unbounded, one.fraction) == (minimal, unbounded, params.get("fraction"))


@pytest.mark.parametrize(
    ("sources", "model", "white_box", "own", "through"),
    [
        (["lenet"], "lenet", True, True, ""),
        (["fc"], "lenet", False, False, "fc"),
        (["lenet", "fc"], "lenet", True, False, "all but third"),
        (None, "lenet", True, True, ""),  # a file of before there were several sources
    ],
)
def test_who_was_attacked(tmp_path, sources, model, white_box, own, through):
    models = ["lenet"] if sources is None else ["lenet", "fc", "third"]
    cell = cell_row("a", sources=sources, source="+".join(sources or [model]), models=models)
    write(tmp_path, cell)
    one = next(one for one in evaluations(read(tmp_path)) if one.model == model)
    assert (one.white_box, one.own, one.through) == (white_box, own, through)
    assert one.sources == tuple(sources or [model])


def test_readers_ask_for_facts_instead_of_working_them_out_again():
    """Parameters are parsed, and robustness is decided, in one place."""
    again = re.compile(r'loads\([^)]*\["params"\]|\["clean_correct"\] & \(.*adv_pred|"rho_linf" if|\["sources"\] or')
    package = ROOT / "robustbench_lite"
    own = {package / "results" / "evaluation.py", package / "gate" / "pairing.py"}  # the latter: of a baseline
    rooms = ("results", "trust", "tables", "report", "gate", "figures")
    files = {path for room in rooms for path in (package / room).rglob("*.py")} - own
    assert not [str(path) for path in files if again.search(path.read_text())]


# --- what is known of a cell before it has rows


def interrupted(folder: Path, attack: str, params: dict[str, object], *, failed: bool, **known: object) -> Results:
    """A run with one cell that failed as a whole, or that it did not come to."""
    cell = cell_row("a", attack=attack, params=json.dumps(params), norm=None, **known)
    names = ("dataset", "source", "sources", "models", "variant", "attack", "params", "norm", "eps")
    planned = {"cell": "a"} | {name: cell[name] for name in names} | {"goal": "label"}
    Store(folder).write_run({"cells": ["a"], "planned": [planned], "suite": {"data": {"mnist": known_data(cell)}}})
    if failed:
        put(Store(folder), cell | {"status": "failed", "error": "no weights"})
    return read(folder)


def known_data(cell: Row) -> dict[str, object]:
    return json.loads(cell["data"] or "{}")


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize(
    ("table", "attack", "params", "known"),
    [
        ("eot", "eot3d", {"steps": 4, "target": None}, {"data": '{"object":"turtle"}'}),
        ("eot", "eot", {"under": [{"rotation": {}}], "evaluation_draws": 1000}, {}),
        ("universal_matrix", "universal", {"fit": 500}, {"models": ["lenet", "fc"]}),
        ("fooling_rate", "universal_sgd", {"fit": 500}, {}),
        ("pose", "rp2", {"mask": "octagon"}, {"data": '{"sign":"stop"}'}),
        ("pose", "rp2", {"mask": "octagon"}, {"data": '{"photographs":"a.csv","object":"stop_sign"}'}),
        ("drive_by", "rp2", {"mask": "octagon"}, {"data": '{"poses":["approach"],"sign":"stop"}'}),
    ],
)
def test_a_cell_without_rows_keeps_its_place_in_its_table(tmp_path, table, attack, params, known, failed):
    found = tables.make(table, interrupted(tmp_path, attack, params, failed=failed, **known))
    assert len(found.rows) >= 1, found.footnotes
    assert ("failed: no weights" if failed else "not run yet") in " ".join(found.footnotes)


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize(
    ("table", "attack", "params", "known"),
    [
        ("eot", "pgd", {"steps": 4}, {}),
        ("eot", "rp2", {}, {"data": '{"photographs":"a.csv","object":"stop_sign"}'}),
        ("universal_matrix", "pgd", {"steps": 4}, {"models": ["lenet", "fc"]}),
        ("pose", "pgd", {"steps": 4}, {}),
        ("pose", "rp2", {}, {"data": '{"poses":["approach"],"sign":"stop"}'}),
        ("drive_by", "rp2", {}, {"data": '{"sign":"stop"}'}),
    ],
)
def test_a_cell_without_rows_stands_in_no_other_table(tmp_path, table, attack, params, known, failed):
    assert not tables.make(table, interrupted(tmp_path, attack, params, failed=failed, **known)).rows


def test_a_cell_that_aims_at_a_target_is_targeted_before_it_runs(tmp_path):
    """Older runs planned it with the goal `label`, and it stood among the untargeted ones."""
    results = interrupted(tmp_path, "pgd", {"target": "next"}, failed=False, models=["lenet", "fc"])
    assert all(one.targeted for one in evaluations(results))
    assert tables.make("matching_rate", results).rows and not tables.make("transfer_matrix", results).rows


# --- warnings


FAR = "clean accuracy 10.0% (n=20) is far from the card's 99.0%: wrong normalisation, weights or data?"


def red(results: Results) -> set[str]:
    (case,) = cases(results)
    return {check.name for check in checks.values() if check.look(case, (case,)).red}


def test_a_warning_is_known_by_its_kind_however_it_is_worded(tmp_path):
    cell = cell_row("a", warnings=["anders gesagt", "lenet: wie es klingt"], warning_kinds=["clean_accuracy", "other"])
    write(tmp_path, cell)
    assert "clean_accuracy" in red(read(tmp_path))
    write(tmp_path, cell | {"warnings": [FAR], "warning_kinds": ["other"]})
    assert "clean_accuracy" not in red(read(tmp_path))


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (FAR, "clean_accuracy"),
        ("lenet: " + FAR, "clean_accuracy"),
        ("outputs lie in [0, 1]: sigmoid or softmax outputs instead of logits? gradients vanish", "outputs"),
    ],
)
def test_a_warning_of_before_there_were_kinds_is_known_by_its_wording(tmp_path, text, check):
    write(tmp_path, cell_row("a", warnings=[text]))
    assert check in red(read(tmp_path))


def test_a_column_is_the_same_whether_its_rows_are_read_alone_or_with_all_others(tmp_path):
    for name, models in (("a", ["lenet"]), ("b", ["lenet", "fc"])):
        cell = cell_row(name, models=models)
        rows = [row | {"model": model} for model in models for row in sample_rows(cell, 6)]
        rows[-1] |= {"l0": None, "target": None, "seconds": None}
        Store(tmp_path).write(name, rows[::2] + rows[1::2], cell)  # those of one classifier lie apart
    every = evaluations(read(tmp_path))
    assert [len(one) for one in every] == [6, 6, 6]
    for one in every:
        alone = Evaluation(one.cell, one.model, one.rows)
        for name in SAMPLES.names:
            assert (one[name].dtype == alone[name].dtype and one[name].tolist() == alone[name].tolist()) or (
                one[name].dtype.kind == "f" and np.array_equal(one[name], alone[name], equal_nan=True)
            ), name
            assert not one[name].flags.writeable


def test_evaluations_keep_the_order_of_the_run_also_where_it_names_what_is_no_cell(tmp_path):
    for name in ("a", "b", "c"):
        put(Store(tmp_path), cell_row(name))
    Store(tmp_path).write_run({"cells": ["c", "a", "gone", "b"], "models": []})
    assert [one.id for one in evaluations(read(tmp_path))] == ["c", "a", "b"]


def test_every_check_is_asked_once_whoever_wants_to_know(tmp_path, monkeypatch):
    put(Store(tmp_path), cell_row("a"))
    results, asked = read(tmp_path), []
    look = next(checks.values()).look
    counted = replace(next(checks.values()), look=lambda *both: asked.append(1) or look(*both))
    monkeypatch.setitem(checks._members, counted.name, counted)
    assert doubts(results) == doubts(results) and trust(results)["checks"] and tables.make("trust", results).rows
    assert len(asked) == 1
