"""Which classifier holds out best: failures at infinity, no matter in which order the classifiers came."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from robustbench_lite.report.page import page
from robustbench_lite.report.ranking import rankings
from robustbench_lite.report.standing import standing
from robustbench_lite.results.store import Store, read
from tests.synthetic import cell_row, write

NAN = float("nan")


def minimal(folder, sizes: dict[str, list[float]], **changes):
    """A minimal attack on these classifiers: one size for each image, infinite where it was not broken."""
    for model, found in sizes.items():
        cell = cell_row(model, model, goal="label", params="{}", **changes)
        rho = [0.05 if size == np.inf else size for size in found]  # what an iterate that fools nobody leaves behind
        success = [size != np.inf for size in found]
        write(folder, cell, n=len(found), rho=rho, success=success, adv_pred=[2 if won else 0 for won in success])
    Store(folder).write_run({"models": list(sizes), "cells": list(sizes), "name": "minimal", "finished": "now"})
    return read(folder)


@pytest.fixture
def believed(monkeypatch):
    """As if every number stood: an attack without a budget that fails is a smell, and its classifier not ranked."""
    monkeypatch.setattr("robustbench_lite.report.ranking.doubts_of", lambda results, one: ())


SIZES = {
    "half": [0.1] * 10 + [np.inf] * 10,  # never broken on half of its images
    "all": [0.2] * 20,
    "weak": [0.01] * 20,
    "never": [np.inf] * 20,
}


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize("order", list(permutations(SIZES))[::5])
def test_who_is_not_broken_is_not_below_who_is(tmp_path, order):
    (found,) = rankings(minimal(tmp_path, {name: SIZES[name] for name in order}))
    assert [entry.model for entry in found.entries] == ["never", "half", "all", "weak"]
    assert found.statistic == "median" and found.metric.startswith("median")
    assert found.entries[0].estimate.value == np.inf and found.entries[2].estimate.value == 0.2
    assert found.answer == "never holds out best: half or more of the images are never broken"
    assert "larger change on 10 and the smaller on 0 of the same 20 images" in found.lead
    p = {entry.model: entry.p for entry in found.entries}
    assert p["half"] == pytest.approx(3 * stats.binomtest(10, 10).pvalue) and p["never"] is None


@pytest.mark.usefixtures("believed")
def test_a_median_that_the_pairs_contradict_is_a_tie(tmp_path):
    """One has the larger median, and is broken by less on fifteen images of twenty."""
    one = [0.1] * 9 + [0.3] * 10 + [np.inf]
    other = [0.2] * 11 + [0.31] * 8 + [np.inf]
    (found,) = rankings(minimal(tmp_path, {"one": one, "other": other}))
    assert found.entries[0].model == "one" and found.entries[1].p == 1.0
    assert found.answer.startswith("one and other cannot be told apart (p = 1)")


@pytest.mark.parametrize("order", list(permutations(["never", "all", "weak"])))
def test_what_an_unbounded_attack_cannot_break_is_not_ranked(tmp_path, order):
    results = minimal(tmp_path, {name: SIZES[name] for name in order})
    (found,) = rankings(results)
    assert [entry.model for entry in found.entries] == ["all", "weak", "never"]
    assert (found.statistic, found.answer) == ("mean", "all holds out best: an image must change by 20.0 % of its norm")
    trust = standing(results, found)
    assert (trust.level, trust.said) == ("doubt", "The number of never does not stand; do not quote it.")
    (reason,) = trust.reasons
    assert (reason.models, reason.title) == ("never", "success without a budget") and reason.remedy
    assert reason.texts == ("0 of 20 samples were broken, without a budget",)
    text = page([results])
    assert "half or more never broken" in text and trust.said in text and reason.remedy in text
    assert "nan%" not in text and "inf%" not in text


@pytest.mark.parametrize("order", list(permutations(["sound", "black", "odd"])))
def test_nan_never_wins(tmp_path, order):
    """A black image has no relative size, for nobody: left out. A size that only one lacks is that one's NaN."""
    sizes = {"sound": [0.1] * 19 + [NAN], "black": [0.12] * 19 + [NAN], "odd": [NAN] + [9.0] * 18 + [NAN]}
    (found,) = rankings(minimal(tmp_path, {name: sizes[name] for name in order}))
    assert [entry.model for entry in found.entries] == ["black", "sound", "odd"]
    assert [entry.estimate.n for entry in found.entries] == [19, 19, 19]
    assert np.isnan(found.entries[2].estimate.value) and found.entries[2].p is None
    assert "odd" not in found.answer and "nan" not in found.answer + found.lead


def test_means_are_compared_by_a_permutation_test_of_pairs(tmp_path):
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0.1, 0.2, 12), rng.uniform(0.08, 0.2, 12)
    (found,) = rankings(minimal(tmp_path, {"one": one.tolist(), "other": other.tolist()}))
    expected = stats.permutation_test((one - other,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.test == "paired permutation test"
    (p,) = [entry.p for entry in found.entries if entry.p is not None]
    assert p == pytest.approx(expected.pvalue)


def test_masked_gradients_are_not_the_headline(tmp_path):
    for model, right, stuck in (("masked", 19, 3), ("honest", 8, 0)):
        cell = cell_row(model, model, "pgd", norm="linf", eps=8 / 255, goal="label")
        after = [0 if i < right else 2 for i in range(20)]
        columns = {"adv_pred": after, "success": [p == 2 for p in after], "zero_gradient": stuck}
        write(tmp_path, cell, clean_correct=True, linf=0.03, **columns)
    Store(tmp_path).write_run({"models": ["masked", "honest"]})
    (found,) = rankings(read(tmp_path))
    assert found.threat == "linf at most 8/255"
    assert [entry.model for entry in found.entries] == ["honest", "masked"]
    assert found.answer == "honest: 40.0 % of the images stay right"
    (reason,) = standing(read(tmp_path), found).reasons
    assert reason.texts == ("19 of 20 samples met a zero gradient and were not broken",) and reason.models == "masked"


def test_one_attack_whose_number_stands_is_enough(tmp_path):
    """The strongest attack counts for each image, so a weak one beside it takes nothing away."""
    for attack, right, stuck in (("pgd", 19, 3), ("mifgsm", 8, 0)):
        cell = cell_row(attack, "lenet", attack, norm="linf", eps=0.1, goal="label", params="{}")
        after = [0 if i < right else 2 for i in range(20)]
        columns = {"adv_pred": after, "success": [p == 2 for p in after], "zero_gradient": stuck}
        write(tmp_path, cell, clean_correct=True, **columns)
    Store(tmp_path).write_run({"models": ["lenet"]})
    (found,) = rankings(read(tmp_path))
    assert not found.entries[0].red and found.answer == "lenet: 40.0 % of the images stay right"


def test_images_that_may_leave_the_box_are_a_threat_of_their_own(tmp_path):
    for name, params in (("inside", "{}"), ("outside", '{"clip": false}')):
        cell = cell_row(name, "lenet", "pgd", norm="linf", eps=0.1, goal="label", params=params)
        write(tmp_path, cell, clean_correct=True, adv_pred=0, success=False)
    Store(tmp_path).write_run({"models": ["lenet"]})
    threats = {found.threat for found in rankings(read(tmp_path))}
    assert threats == {"linf at most 0.1", "linf at most 0.1, images may leave [0, 1]"}
