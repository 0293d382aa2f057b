"""Tables of generators: collapsed ones are said, published numbers stand only beside the same protocol."""

from __future__ import annotations

import json

import pytest

from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables

ROW = {
    "suite": "s", "dataset": "mnist", "size": [1, 32, 32], "status": "ok", "outcome": "trained", "collapsed": False,
    "judge": "lenet_mnist", "n": 1000, "steps": 100, "images_seen": 6400, "seconds": 50.0, "classifier_score": 8.0,
    "classifier_score_real": 9.5, "frechet": 20.0, "frechet_real": 10.0, "precision": 0.5, "precision_real": 0.9,
    "parzen": 200.0, "parzen_standard_error": 2.0, "swd": 12.0, "swd_real": 9.0, "copies": 0.0,
    "scores": json.dumps({"swd_16": 11.0, "swd_16_real": 8.0, "swd_32": 13.0}),
}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """A call: `results({"name": ..., ...}, ...)` is what a run of these generators has left."""

    def of(*cells, training=()):
        store = Store(tmp_path / "s")
        for i, cell in enumerate(cells):
            own = {"architecture": "dcgan", "objective": "wgan_gp", "name": f"g{i}"} | cell
            logged = [{"cell": f"c{i}"} | row for row in training]
            store.write_made(f"c{i}", {"training": logged, "generators": [ROW | own | {"cell": f"c{i}"}]})
        store.write_run({"name": "s", "generator_cells": [f"c{i}" for i in range(len(cells))], "cells": []})
        return read(tmp_path / "s")

    return of


def test_a_score_stands_beside_that_of_real_images_with_its_interval(results):
    made = tables.make("gan_scores", results({}))
    (row,) = made.rows
    assert (row["classifier_score"].value, row["classifier_score_real"].value) == (8.0, 9.5)
    assert row["parzen"].low == pytest.approx(200 - 1.96 * 2) and row["parzen"].n == 1000
    assert row["precision"].value == 50.0 and row["copies"].high > 0
    assert "covered" not in row  # nothing of a mixture here


def test_scores_have_their_intervals_and_those_of_before_there_were_any_have_none(results):
    ends = {"precision_low": 0.4, "precision_high": 0.6, "frechet_real_low": 9.0, "frechet_real_high": 11.0}
    new, old = tables.make("gan_scores", results(ends | {"frechet_low": 18.0, "frechet_high": 22.0}, {})).rows
    assert (new["precision"].low, new["precision"].high, new["precision"].n) == pytest.approx((40, 60, 1000))
    assert new["frechet"].text == "20.0 [18.0, 22.0]" and new["frechet_real"].high == 11.0
    assert old["frechet"].text == "20.0" and old["precision"].low is None


def test_the_published_estimate_stands_only_beside_as_many_windows(results):
    made = tables.make("gan_scores", results({"n": 10_000}))
    assert [row["name"].kind for row in made.rows] == ["label", "published"]
    assert made.rows[1]["parzen"].value == 225
    made = tables.make("gan_scores", results({"n": 9_999}, {"n": 10_000, "dataset": "fashion_mnist"}))
    assert [row["name"].kind for row in made.rows] == ["label", "label"]


def test_a_collapse_is_a_word_with_its_reason_and_in_no_mean(results):
    bad = {"outcome": "collapsed", "collapsed": True, "reason": "alike: 0.9", "classifier_score": 1.5}
    failed = {"status": "failed", "outcome": "diverged", "error": "no number", "classifier_score": None}
    found = results(
        {"objective": "minimax", **bad},
        {"objective": "wgan_gp", "train_seed": 0},
        {"objective": "wgan_gp", "train_seed": 1, **bad},
        {"objective": "minimax", "architecture": "resnet", **failed},
    )
    made = tables.make("architecture_stress", found)
    dcgan, resnet, trained = made.rows
    assert dcgan["minimax"].text == "collapsed" and dcgan["minimax"].value is None
    assert dcgan["wgan_gp"].text == "8.00, 1 collapsed" and dcgan["wgan_gp"].value == 8.0
    assert resnet["minimax"].text == "diverged" and resnet["wgan_gp"].kind == "missing"
    assert (trained["minimax"].text, trained["wgan_gp"].text) == ("0 of 2", "1 of 2")
    assert any("alike: 0.9" in note for note in made.footnotes)


def test_growing_is_compared_at_the_same_number_of_images(results):
    looks = [{"step": 50, "images": 3200, "seconds": 10.0, "swd": 30.0, "score": 5.0, "side": 8}]
    store = results({"architecture": "progressive"}, {"seconds": 100.0}, training=looks)
    made = tables.make("progressive", store)
    assert [row["images"].value for row in made.rows] == [3.2, 6.4, 3.2, 6.4]
    assert made.rows[1]["swd_16"].value == 11.0 and made.rows[1]["swd"].value == 12.0
    assert [row["speed"].value for row in made.rows] == [1.0, 2.0, 1.0, 1.0]
    assert any("an SWD of 30.0, where the poorest of them ends, is reached after: g0 10.0 s, g1 10.0 s" in note
               for note in made.footnotes)  # fmt: skip
    assert any("5.4 times as fast" in note for note in made.footnotes)


@pytest.mark.parametrize("name", ["gan_scores", "architecture_stress", "progressive"])
def test_without_generators_a_table_says_so(name, tmp_path):
    Store(tmp_path).write_run({"name": "s", "cells": []})
    made = tables.make(name, read(tmp_path))
    assert not made.rows and "generators" in made.footnotes[0]
