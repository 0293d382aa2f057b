from __future__ import annotations

import json

import numpy as np
import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.results.store import Store, read
from robustbench_lite.tables import _deepfool_paper as deepfool_paper
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.references import Reference, load
from tests.synthetic import RUN, cell_row, example, put, sample_rows, write

OWN = ["accuracy", "cost", "rho_adv"]  # tables of classifiers that are attacked themselves


def table_of(name, results):
    """The table as a list of {key: Value}, checked for its shape."""
    table = tables.make(name, results)
    assert all(len(row) == len(table.columns) for row in table.rows)
    return list(table.rows), table


def rows_of(name, results, **match):
    rows, _ = table_of(name, results)
    return [row for row in rows if all(row[key].text == text for key, text in match.items())]


def one_cell(folder, *, run=None, samples=None, **changes):
    cell = cell_row("a1", **changes)
    Store(folder).write("a1", sample_rows(cell) if samples is None else samples, cell)
    Store(folder).write_run(run or {})
    return read(folder)


@pytest.mark.parametrize("name", OWN)
def test_every_table_copes_with_finished_failed_and_missing_cells(tmp_path, name):
    rows, table = table_of(name, example(tmp_path))
    assert table.name == name and rows
    notes = " ".join(table.footnotes)
    assert "failed: ModelError: logits are not finite" in notes
    assert "warning: clean accuracy" in notes and "not run yet" in notes


def test_accuracy_explains_cards_where_there_is_one(tmp_path):
    with_card, without = (
        table_of("accuracy", one_cell(tmp_path / str(card), card_accuracy=card))[1] for card in (0.99, None)
    )
    assert "card: the accuracy" in with_card.footnotes[0] and "card" not in without.footnotes[0]


@pytest.mark.parametrize("name", OWN)
def test_every_table_copes_with_nothing(tmp_path, name):
    Store(tmp_path).write_run({"cells": []})
    assert table_of(name, read(tmp_path))[0] == []


@pytest.mark.parametrize("name", OWN)
def test_a_failed_cell_has_no_number(tmp_path, name):
    (row,) = [r for r in rows_of(name, example(tmp_path), model="fc") if "logits" in r["attack"].note]
    shown = {key: value for key, value in row.items() if key not in {"error", "error_here", "error_published", "n"}}
    assert all(value.value is None for value in shown.values()) and row["attack"].mark


@pytest.mark.parametrize("name", OWN)
def test_one_failed_sample_withholds_the_cell(tmp_path, name):
    samples = sample_rows(cell_row("a1"))
    samples[3] |= {"status": "candidate leaves [0, 1]"}
    rows, table = table_of(name, one_cell(tmp_path, samples=samples))
    assert rows[0]["attack"].mark == "[1]"
    assert "failed: 1 of 20 samples: candidate leaves [0, 1]" in table.footnotes[-1]


@pytest.mark.parametrize("name", OWN)
def test_damaged_files_are_named_below_the_table(tmp_path, name):
    example(tmp_path)
    (tmp_path / "samples" / "a1.parquet").write_bytes(b"")
    _, table = table_of(name, read(tmp_path))
    assert any("a1.parquet" in note for note in table.footnotes)
    assert any("its samples cannot be read" in note for note in table.footnotes)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("run", [{"published": []}, {"models": 3, "cells": None}, {"published": {"lenet": "x"}}])
def test_a_strange_run_json_does_not_matter(tmp_path, name, run):
    assert table_of(name, one_cell(tmp_path, run={"reference": "deepfool-t1"} | run))[0]


def test_rows_come_in_the_order_of_the_run(tmp_path):
    results = example(tmp_path)
    order = [(row["model"].text, row["attack"].text) for row in table_of("accuracy", results)[0]]
    assert order == [(model, attack) for model in RUN["models"] for attack in RUN["attacks"]]
    Store(tmp_path).write_run({**RUN, "models": ["fc", "lenet"]})
    assert table_of("accuracy", read(tmp_path))[0][0]["model"].text == "fc"


def test_an_unknown_table_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'rho_adv'"):
        tables.make("rho", example(tmp_path))


# --- rho_adv


def test_rho_adv_is_the_mean_of_ratios_over_all_samples(tmp_path):
    (row,) = rows_of("rho_adv", example(tmp_path), model="lenet", attack="fgsm 50 %, unclipped")
    sizes = [row["rho"] for row in sample_rows(cell_row("x"), rho=0.9)]
    assert row["rho"].value == pytest.approx(np.mean(sizes)) and row["rho"].n == 20
    assert row["rho"].low < row["rho"].value < row["rho"].high
    assert row["success"].value == 90 and row["median"].value > np.median(sizes)
    assert row["ratio"].value == pytest.approx(4.5)


def test_times_are_per_sample_and_relative_to_the_slowest(tmp_path):
    rows = {row["attack"].text: row for row in rows_of("rho_adv", example(tmp_path), model="lenet")}
    row = rows["deepfool, unclipped"]
    assert (row["ms"].value, row["ms_alone"].value, row["speed"].value) == (25, 50, 40)
    assert rows["lbfgs"]["speed"].kind in {"derived", "published"}


def test_half_failures_make_an_infinite_median(tmp_path):
    results = one_cell(tmp_path, samples=sample_rows(cell_row("a1"), failures=11))
    assert rows_of("rho_adv", results)[0]["median"].text == "inf"


@pytest.mark.parametrize(("failures", "shown"), [(0, True), (1, False), (20, False)])
def test_below_99_percent_success_the_median_stands_in_for_the_mean(tmp_path, failures, shown):
    """Iterates that fool nobody have sizes too: a classifier that was never broken has no rho of 0.1, nor of 0."""
    cell = cell_row("a1")
    results = one_cell(tmp_path, samples=sample_rows(cell, failures=failures))
    row = rows_of("rho_adv", results)[0]
    sizes = sorted(row["rho"] for row in sample_rows(cell)[: 20 - failures]) + [np.inf] * failures
    assert row["median"].value == pytest.approx(np.median(sizes)) or (failures == 20 and row["median"].text == "inf")
    assert (row["rho"].value is not None) is shown
    if shown:
        assert row["rho"].value == pytest.approx(np.mean(sizes)) and "[" not in row["median"].text
    else:
        assert "fewer than 99 % successes" in row["rho"].note
        assert (row["median"].low, row["median"].high) == (sizes[5], sizes[14])  # P(fewer than 6 of 20) = 0.0207
        assert "[" in row["median"].text or failures == 20
    assert "0 [0, 0]" not in row["rho"].text


def test_a_withheld_mean_has_no_ratio_either(tmp_path):
    store = Store(tmp_path)
    for cell, attack, failures in (("a1", "deepfool", 3), ("a2", "lbfgs", 0)):
        put(store, cell_row(cell, attack=attack), failures=failures)
    rows = {row["attack"].text: row["ratio"] for row in table_of("rho_adv", read(tmp_path))[0]}
    assert rows["lbfgs"].value is None and "withheld" in rows["lbfgs"].note


def test_published_rows_carry_their_source(tmp_path):
    rows = [row for row in rows_of("rho_adv", example(tmp_path), model="lenet") if row["rho"].kind == "published"]
    found = {row["attack"].text: row for row in rows}
    assert {name: row["rho"].text for name, row in found.items()} == {"deepfool": "0.2", "fgsm": "1.0", "lbfgs": "0.25"}
    assert {name: row["ratio"].text for name, row in found.items()} == {"deepfool": "1", "fgsm": "5", "lbfgs": "1.2"}
    assert {name: row["ms_alone"].text for name, row in found.items()} == {
        "deepfool": "110",
        "fgsm": "20",
        "lbfgs": ">4000",
    }
    assert {name: row["speed"].text for name, row in found.items()} == {"deepfool": ">36", "fgsm": ">200", "lbfgs": "1"}
    assert all("1511.04599" in row["rho"].note for row in rows)
    assert all(row["error_published"].text == "1.0" for row in rows)


def test_nothing_is_published_unless_the_suite_asks_for_it(tmp_path):
    example(tmp_path)
    for run in ({**RUN, "reference": None}, {**RUN, "published": {}}):
        Store(tmp_path).write_run(run)
        assert not any(row["rho"].kind == "published" for row in table_of("rho_adv", read(tmp_path))[0])


def test_recalled_numbers_are_never_shown_as_published(tmp_path, monkeypatch):
    recalled = Reference(**{**vars(load("deepfool-t1")), "checked": "recalled"})
    monkeypatch.setattr(deepfool_paper, "load", lambda _: recalled)
    assert not any(row["rho"].kind == "published" for row in table_of("rho_adv", example(tmp_path))[0])


def test_linf_has_its_own_block_with_table_2(tmp_path):
    store = Store(tmp_path)
    put(store, cell_row("a1", norm="linf"))
    put(store, cell_row("a2", attack="fgsm", notes=["epsilon 0.2"]), rho=0.3)
    put(store, cell_row("a3", variant="deepfool(norm=l2)"))
    store.write_run(RUN)
    rows, _ = table_of("rho_adv", read(tmp_path))
    assert [row["norm"].text for row in rows] == ["l2"] * 4 + ["linf"] * 4
    assert rows[4]["rho"].value == pytest.approx(rows[0]["rho"].value / 2)
    assert (rows[5]["rho"].text, rows[7]["rho"].text, rows[7]["ratio"].text) == ("0.1", "0.26", "2.6")


def test_deepfool_is_compared_with_the_same_clipping(tmp_path):
    store = Store(tmp_path)
    for cell, attack, clip, rho in [
        ("a1", "deepfool", True, 0.2),
        ("a2", "deepfool", False, 0.1),
        ("a3", "fgsm", True, 0.6),
        ("a4", "fgsm", False, 0.5),
    ]:
        put(
            store, cell_row(cell, attack=attack, params=json.dumps({"clip": clip}), variant=f"{attack} {clip}"), rho=rho
        )
    ratios = {row["attack"].text: row["ratio"].value for row in table_of("rho_adv", read(tmp_path))[0]}
    assert ratios == pytest.approx({"deepfool": 1, "deepfool, unclipped": 1, "fgsm": 3, "fgsm, unclipped": 5})


def test_attacks_of_one_short_name_are_told_apart(tmp_path):
    store = Store(tmp_path)
    for cell, variant in [("a1", "deepfool(candidates=2)"), ("a2", "deepfool(candidates=10)")]:
        put(store, cell_row(cell, variant=variant))
    names = [row["attack"].text for row in table_of("rho_adv", read(tmp_path))[0]]
    assert names == ["deepfool(candidates=2)", "deepfool(candidates=10)"]


def test_other_samples_have_no_ratio(tmp_path):
    put(Store(tmp_path), cell_row("a1"))
    put(Store(tmp_path), cell_row("a2", attack="lbfgs"), n=19)
    assert rows_of("rho_adv", read(tmp_path), attack="lbfgs")[0]["ratio"].text == "—"


def test_an_epsilon_that_never_fools_enough_has_no_value(tmp_path):
    results = one_cell(tmp_path, attack="fgsm", samples=sample_rows(cell_row("a1", attack="fgsm"), failures=12))
    row = rows_of("rho_adv", results)[0]
    assert row["rho"].value is None and row["median"].value is None and row["success"].value == 40


def test_an_image_of_zeros_has_no_relative_size(tmp_path):
    samples = sample_rows(cell_row("a1"))
    samples[0] |= {"rho": float("inf")}
    rows, table = table_of("rho_adv", one_cell(tmp_path, samples=samples))
    assert rows[0]["rho"].value is None and rows[0]["rho"].mark
    assert any("not defined on 1 of 20" in note for note in table.footnotes)


def test_attacks_with_a_budget_are_not_minimal(tmp_path):
    results = one_cell(tmp_path, attack="pgd", eps=0.03)
    rows, table = table_of("rho_adv", results)
    assert rows == [] and "no attack in these results" in table.footnotes[0]


# --- accuracy and cost


def test_accuracy_counts_all_samples(tmp_path):
    row = rows_of("accuracy", example(tmp_path), model="lenet", attack="fgsm")[0]
    assert (row["clean"].value, row["robust"].value) == (90, 10)
    assert (row["success_correct"].value, row["success_all"].value) == (pytest.approx(100 * 16 / 18), 90)
    assert (row["survival"].value, row["n"].value) == (50, 20)
    assert row["robust"].low == pytest.approx(2.787, abs=1e-3)  # Wilson for 2 of 20


def test_each_scored_classifier_has_its_row(tmp_path):
    cell = cell_row("a1", "lenet+fc", models=["held_out", "other"])
    rows = [row | {"model": model} for model in cell["models"] for row in sample_rows(cell)]
    Store(tmp_path).write("a1", rows, cell)
    names = [row["model"].text for row in table_of("accuracy", read(tmp_path))[0]]
    assert names == ["held_out, attacked through lenet+fc", "other, attacked through lenet+fc"]
    assert len(table_of("cost", read(tmp_path))[0]) == 1


def test_overhead_is_what_lies_beyond_the_passes(tmp_path):
    row = rows_of("cost", example(tmp_path), model="lenet", attack="deepfool")[0]
    assert (row["forwards"].value, row["backwards"].value, row["ms"].value) == (3, 2, 25)
    assert row["overhead"].value == pytest.approx(25) and row["device"].text == "cpu"


def test_costs_that_were_not_measured_are_missing(tmp_path):
    names = ("forwards", "seconds", "seconds_forward", "seconds_alone", "batch_size", "near_ties")
    row = rows_of("cost", one_cell(tmp_path, **dict.fromkeys(names)))[0]
    assert all(row[key].text == "—" for key in ("forwards", "ms", "ms_alone", "overhead", "batch", "near_ties"))
    assert rows_of("rho_adv", read(tmp_path))[0]["speed"].text == "—"


def test_a_classifier_may_be_called_like_a_column(tmp_path):
    """Its column has a key of its own, so that neither number hides the other."""
    names = ["n", "row", "lenet"]
    write(tmp_path, cell_row("a", "n", "pgd", models=names, sources=["n"]), rmsd=2.0, label_rank=1)
    Store(tmp_path).write_run({"models": names})
    (row,), table = table_of("transfer_matrix", read(tmp_path))
    titles = {column.key: column.title for column in table.columns if column.named}
    assert titles == {"n (classifier)": "n", "row (classifier)": "row", "lenet": "lenet"}
    assert (row["n"].value, row["n (classifier)"].value, row["row"].text) == (20, 0, "n")


def test_shares_are_of_all_of_the_initially_correct_and_of_the_successes(tmp_path):
    # correct and held, correct and broken, wrong before and "held", wrong before and moved
    columns = {"clean_correct": [True, True, False, False], "clean_pred": [0, 0, 1, 1], "adv_pred": [0, 2, 1, 0]}
    columns |= {"success": [False, True, False, True], "success_8bit": [False, True, True, False]}
    write(tmp_path, cell_row("a", attack="pgd"), n=4, **columns)
    ((row,), _) = table_of("accuracy", read(tmp_path))
    shares = {
        key: (row[key].value, row[key].n) for key in ("clean", "robust", "success_correct", "success_all", "survival")
    }
    assert shares == {
        "clean": (50, 4), "robust": (25, 4), "success_correct": (50, 2), "success_all": (50, 4), "survival": (50, 2)
    }  # fmt: skip


def test_a_missed_target_may_still_break_the_classifier_and_of_no_success_none_survives(tmp_path):
    write(
        tmp_path,
        cell_row("a", attack="pgd", goal="target"),
        n=1,
        clean_correct=True,
        clean_pred=0,
        adv_pred=1,
        success=False,
    )
    ((row,), _) = table_of("accuracy", read(tmp_path))
    assert (row["robust"].value, row["success_all"].value, row["survival"].kind) == (0, 0, "missing")
