"""A collapse is said, of generators that lie and of none that behaves: real images pass for a generator's."""

from __future__ import annotations

import math

import pytest
import torch

from robustbench_lite.datasets.base import images
from robustbench_lite.generators import Judge, loaded, scores_of
from robustbench_lite.generators.collapse import ALIKE, FINE, UNEVEN, verdict
from robustbench_lite.generators.points.ring import Ring

N = 100


@pytest.fixture(scope="module")
def judge():
    return Judge("lenet_mnist", images(loaded({"bundled": "mnist", "samples": 3 * N}, None, 2)), None, 2)


def judged(made, judge):
    return verdict(scores_of(made, judge))


def test_test_images_themselves_have_not_collapsed(judge):
    assert judged(judge.test[2 * N :], judge) == ("trained", "")


def test_one_image_over_and_over_has(judge):
    made = (judge.test[:1].repeat(N, 1, 1, 1) + 0.01 * torch.rand(N, 1, 32, 32)).clamp(0, 1)
    outcome, reason = judged(made, judge)
    assert outcome == "collapsed" and "classes:" in reason and "alike:" in reason and f"margin {ALIKE}" in reason


def test_so_have_two_modes_however_different_their_images_are(judge):
    known = judge.look(judge.test).probabilities.argmax(1)
    two = judge.test[(known == 0) | (known == 1)]
    outcome, reason = judged(two.repeat(10, 1, 1, 1)[:N], judge)
    assert outcome == "collapsed" and "classes:" in reason and "alike:" not in reason and f"margin {UNEVEN}" in reason


def test_noise_has_learnt_nothing(judge):
    outcome, reason = judged(torch.rand(N, 1, 32, 32), judge)
    assert outcome != "trained" and reason


def test_modes_of_a_mixture():
    ring, draw = Ring(), torch.Generator().manual_seed(0)
    points = ring.draw(2000, draw)

    def of(made):
        found = ring.coverage(made)
        return verdict({"modes": found.modes, "covered": found.covered, "high_quality": found.high_quality})

    assert of(points) == ("trained", "")
    left = points[points[:, 0] < 1.9]  # without the first mode
    assert of(left) == ("collapsed", "modes: 7 of 8")
    everywhere = 6 * torch.rand(2000, 2, generator=draw) - 3
    assert of(everywhere).outcome == "not learned" and f"expected {100 * FINE:g} %" in of(everywhere).reason


def test_a_score_that_is_no_number_is_not_trained():
    assert verdict({"unevenness": math.nan, "unevenness_real": 0.1}).outcome == "collapsed"
    assert verdict({"classifier_score": math.nan, "classifier_score_real": 9.0}).outcome == "not learned"


def test_copies_are_looked_for_in_pixels_and_in_features():
    """A copy that was moved by a pixel is far from its original in pixels; the classifier sees through that."""
    digits = images(loaded({"bundled": "mnist"}, None))
    train, test, fresh = digits[:400], digits[400:800], digits[800:]
    judge = Judge("lenet_mnist", torch.cat([test, fresh]), train)
    own, copied, moved = (scores_of(some, judge) for some in (fresh, train[:200], train[:200].roll(1, 3)))
    assert (own["copies"], own["copies_features"]) == (0, 0) and own["nearer_features"] == pytest.approx(0.5, abs=0.1)
    assert (copied["copies"], copied["copies_features"]) == (1, 1)
    assert moved["nearer_features"] > moved["nearer"] + 0.1 > 0.7
