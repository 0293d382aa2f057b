"""The tables of the worst case: clean, each attack, all together, published; curves; optimality with its pool."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from robustbench_lite.figures.base import figures
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.references import load
from robustbench_lite.tables.render import render
from robustbench_lite.text import TABLE_FORMATS
from tests.results.test_worst_case import plant, run_of
from tests.synthetic import cell_row, example, put

INF = np.inf
NAMES = ["robust_accuracy", "curve", "optimality"]


def rows(results, name="robust_accuracy"):
    return {row["attack"].text: row for row in tables.make(name, results).rows}


def planted(folder, **more):
    """Ten samples, one wrong before: pgd breaks two, deepfool two others within the budget, both a third."""
    clean = [False] + [True] * 9
    plant(folder, "pgd", [INF, 0.1, 0.1, 0.1] + [INF] * 6, eps=0.1, clean=clean, forwards=100, backwards=90)
    sizes = [0.0, 0.3, 0.3, 0.05, 0.05, 0.05, 0.3, 0.3, 0.4, INF]
    plant(folder, "deepfool", sizes, clean=clean, forwards=40, backwards=60)
    return run_of(folder, **more)


def test_clean_each_attack_and_the_worst_case_with_their_intervals_and_passes(tmp_path):
    found = rows(planted(tmp_path))
    said = {name: row["robust"].value for name, row in found.items()}
    assert said == {"clean": 90, "pgd": 60, "deepfool, within": 60, "worst case": 40}
    for row in found.values():
        expected = wilson(round(row["robust"].value / 10), 10)
        assert (row["robust"].low, row["robust"].high) == pytest.approx((100 * expected.low, 100 * expected.high))
        assert row["n"].value == 10 and row["epsilon"].text == "0.1" and row["norm"].text == "linf"
    passes = {name: (row["forwards"].value, row["backwards"].value) for name, row in found.items()}
    assert passes == {"clean": (None, None), "pgd": (10, 9), "deepfool, within": (4, 6), "worst case": (14, 15)}


def test_the_table_of_single_attacks_stays_as_it_is(tmp_path):
    assert {name: row["robust"].value for name, row in rows(planted(tmp_path), "accuracy").items()} == {
        "pgd": 60,
        "deepfool": 10,
    }


def test_a_transferred_attack_has_a_row_where_it_broke_something_within(tmp_path):
    plant(tmp_path, "pgd", [INF] * 4, eps=0.1)
    other = {"source": "fc", "sources": ["fc"], "models": ["lenet"]}
    plant(tmp_path, "mifgsm", [0.05, INF, INF, INF], eps=0.2, **other)
    plant(tmp_path, "fgsm", [0.15, INF, INF, INF], eps=0.2, **other)
    found = rows(run_of(tmp_path))
    assert list(found) == ["clean", "pgd", "mifgsm made for fc, within", "worst case"]
    assert found["worst case"]["robust"].value == 75


def test_a_failed_attack_keeps_its_place_and_the_others_their_numbers(tmp_path):
    plant(tmp_path, "pgd", [0.1, INF], eps=0.1)
    broken = cell_row("broken", attack="mifgsm", norm="linf", eps=0.1, status="failed", error="no memory")
    put(Store(tmp_path), broken | {"variant": "mifgsm"})
    found = rows(run_of(tmp_path))
    assert found["mifgsm"]["robust"].value is None and "no memory" in found["mifgsm"]["attack"].note
    assert found["worst case"]["robust"].value == 50


def test_where_no_attack_stands_the_worst_case_is_marked(tmp_path):
    columns = {"zero_gradient": 3}
    plant(tmp_path, "pgd", [INF] * 20, eps=0.1, columns=columns)
    table = tables.make("robust_accuracy", run_of(tmp_path))
    marks = {row["attack"].text: row["attack"].mark for row in table.rows}
    assert marks["worst case"] and marks["worst case"] == marks["pgd"] and not marks["clean"]
    assert any("does not stand: gradients" in note for note in table.footnotes)
    plant(tmp_path, "sound", [0.1] * 15 + [INF] * 5, eps=0.1, attack="mifgsm")
    assert not rows(run_of(tmp_path))["worst case"]["attack"].mark


NAME = {"classifier": "Carmon2019Unlabeled", "dataset": "CIFAR-10"}


def test_published_numbers_stand_beside_ours_at_their_budget(tmp_path):
    for name, eps in (("pgd", 8 / 255), ("small", 4 / 255)):
        plant(tmp_path, name, [eps, INF], eps=eps)
    results = run_of(tmp_path, published={"lenet": NAME})
    table = tables.make("robust_accuracy", results)
    found = {(row["attack"].text, row["epsilon"].text): row["robust"] for row in table.rows}
    published = {key[0]: value.text for key, value in found.items() if value.kind == "published"}
    assert published == {
        "clean, published": "89.69",
        "AutoAttack, published": "59.53",
        "as its authors reported, published": "62.5",
    }
    assert {key[1] for key, value in found.items() if value.kind == "published"} == {"8/255"}
    assert any("arxiv.org/abs/2010.09670" in note for note in table.footnotes)


def test_recalled_numbers_are_not_shown(tmp_path, monkeypatch):
    recalled = lambda name: replace(load(name), checked="recalled")
    monkeypatch.setattr("robustbench_lite.tables.robust_accuracy.references.load", recalled)
    plant(tmp_path, "pgd", [INF, 0.1], eps=8 / 255)
    table = tables.make("robust_accuracy", run_of(tmp_path, published={"lenet": NAME}))
    assert "published" not in {row["robust"].kind for row in table.rows}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("published", [[], {"lenet": "x"}, {"lenet": {}}, {"lenet": {"classifier": "LeNet"}}, 3])
def test_a_strange_run_json_does_not_matter(tmp_path, name, published):
    assert tables.make(name, planted(tmp_path, published=published)).rows


@pytest.mark.parametrize("name", NAMES)
def test_every_format_prints_them(tmp_path, name):
    table = tables.make(name, planted(tmp_path))
    assert all(render(table, style) for style in TABLE_FORMATS)
    assert table.cells == {"pgd", "deepfool"} or name == "optimality"


@pytest.mark.parametrize("name", NAMES)
def test_they_cope_with_failed_and_missing_cells_and_with_nothing(tmp_path, name):
    assert tables.make(name, example(tmp_path / "some")).footnotes
    Store(tmp_path / "none").write_run({"cells": []})
    table = tables.make(name, read(tmp_path / "none"))
    assert not table.rows and "no attack" in table.footnotes[0]


# --- the curve


def test_the_curve_has_a_row_for_every_budget_and_even_steps(tmp_path):
    table = tables.make("curve", planted(tmp_path))
    found = {row["epsilon"].value: row["lenet"] for row in table.rows}
    assert {0.0, 0.1, 0.4} <= found.keys() and found[0.0].value == 90 and found[0.1].value == 40
    values = [found[epsilon].value for epsilon in sorted(found)]
    assert values == sorted(values, reverse=True) and found[0.4].value == 10
    assert all(cell.low <= cell.value <= cell.high and cell.n == 10 for cell in found.values())


def test_where_only_budgets_were_tried_the_curve_says_nothing_between_them(tmp_path):
    plant(tmp_path, "pgd", [0.1, INF], eps=0.1)
    plant(tmp_path, "deepfool", [0.3, 0.5], model="fc")
    rows = tables.make("curve", run_of(tmp_path)).rows
    told = {row["epsilon"].value for row in rows if row["lenet"].value is not None}
    assert told == {0.0, 0.1} and len([row for row in rows if row["fc"].value is not None]) == len(rows) > 4


def test_the_figure_has_the_rows_of_the_table_and_draws_them(tmp_path):
    results = planted(tmp_path)
    figure = figures["curve"]()
    stored = figure.compute(results, None)
    rows = stored.to_pylist()
    assert [row["epsilon"] for row in rows] == [0.0, 0.05, 0.1, 0.3, 0.4]
    assert [row["robust"] for row in rows] == [0.9, 0.6, 0.4, 0.2, 0.1] and {row["n"] for row in rows} == {10}
    for row in rows:
        expected = wilson(round(10 * row["robust"]), 10)
        assert (row["low"], row["high"]) == (expected.low, expected.high)
    svg = figure.draw(stored)
    assert svg.startswith("<svg") and "mnist, linf (n = 10)" in svg and "<polygon" in svg
    (line,) = figure.data(stored).rows
    assert [line[f"at{i}"].value for i in range(5)] == [90, 40, 40, 20, 10]
    path = Store(tmp_path).write_figure("curve", stored)
    assert path.is_file()


def test_the_figure_marks_points_where_only_budgets_were_tried(tmp_path):
    plant(tmp_path, "pgd", [0.1, INF], eps=0.1)
    figure = figures["curve"]()
    svg = figure.draw(figure.compute(run_of(tmp_path), None))
    assert svg.count("<circle") == 2 and "<polyline" not in svg


# --- optimality


def test_optimality_names_its_pool_and_averages_over_classifiers(tmp_path):
    for model in ("lenet", "fc"):
        plant(tmp_path, f"a_{model}", [1.0, 2.0, 3.0, 4.0], model=model, params={})
        sizes = [2.0, 2.0, 3.0, 4.0] if model == "fc" else [INF] * 4
        plant(tmp_path, f"b_{model}", sizes, model=model, attack="lbfgs")
    table = tables.make("optimality", renamed(tmp_path))
    found = {row["attack"].text: row for row in table.rows}
    assert (found["a"]["lenet"].value, found["a"]["fc"].value, found["a"]["global"].value) == (1, 1, 1)
    assert found["b"]["lenet"].value == 0 and found["b"]["fc"].value == pytest.approx(1 - 0.25 / 1.5)
    assert found["b"]["global"].value == pytest.approx((1 - 0.25 / 1.5) / 2)
    assert "pool on mnist, linf: a, b" in table.footnotes


def test_optimality_has_an_interval_where_there_are_ten_samples(tmp_path):
    best = [1.0 + i / 10 for i in range(12)]
    plant(tmp_path, "a", best)
    plant(tmp_path, "b", [size * (1.5 if i % 3 else 1.1) for i, size in enumerate(best)], attack="lbfgs")
    first, second = (row["lenet"] for row in tables.make("optimality", run_of(tmp_path)).rows)
    assert (first.low, first.value, first.high, first.n) == (1, 1, 1, 12)
    assert second.low < second.value < second.high < 1
    assert second.text.count("[") == 1


def renamed(folder):
    """The same variant on several classifiers: what stands before the underscore."""
    results = run_of(folder)
    for cell in results.cell_table.to_pylist():
        samples = [row for row in results.sample_table.to_pylist() if row["cell"] == cell["cell"]]
        short = cell["variant"].split("_")[0]
        Store(folder).write(cell["cell"], samples, cell | {"variant": short, "params": json.dumps({})})
    return read(folder)


def test_alone_in_its_pool_an_attack_is_near_to_nothing(tmp_path):
    plant(tmp_path, "deepfool", [1.0, 2.0])
    (row,) = tables.make("optimality", run_of(tmp_path)).rows
    assert row["lenet"].value is None and "alone" in row["lenet"].note
