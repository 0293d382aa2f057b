"""Curves and optimality: planted sizes, areas by hand, and a curve that never rises whatever the attacks do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_lite.results.curves import curves, optimality
from tests.results.test_worst_case import plant, run_of

INF = np.inf


def test_a_curve_is_the_share_that_needs_more(tmp_path):
    """Of five samples one was wrong before, one is never broken, one is broken by the smaller of two attacks."""
    clean = [False, True, True, True, True]
    plant(tmp_path, "deepfool", [0.0, 0.1, 0.3, 0.4, INF], clean=clean)
    plant(tmp_path, "lbfgs", [0.0, 0.2, 0.2, 0.4, INF], clean=clean, attack="lbfgs")
    (one,) = curves(run_of(tmp_path))
    assert one.sizes.tolist() == [0.0, 0.1, 0.2, 0.4, INF] and one.steps() == [0.0, 0.1, 0.2, 0.4]
    shares = [one.at(epsilon).value for epsilon in (0, 0.05, 0.1, 0.15, 0.2, 0.4, 100)]
    assert shares == [0.8, 0.8, 0.6, 0.6, 0.4, 0.2, 0.2]
    assert one.at(0.1).low < 0.6 < one.at(0.1).high and one.at(0.1).n == 5


def test_budgets_alone_say_something_at_budgets_only(tmp_path):
    plant(tmp_path, "small", [0.1, INF, INF, INF], eps=0.1)
    plant(tmp_path, "large", [INF, 0.2, INF, INF], eps=0.2)  # it missed what the smaller one found
    (one,) = curves(run_of(tmp_path))
    assert not one.whole and one.steps() == [0.0, 0.1, 0.2]
    assert [one.at(epsilon).value for epsilon in one.steps()] == [1.0, 0.75, 0.5]


def test_a_budget_lowers_the_curve_of_minimal_attacks(tmp_path):
    plant(tmp_path, "deepfool", [0.3, 0.3])
    plant(tmp_path, "pgd", [0.1, INF], eps=0.1)
    (one,) = curves(run_of(tmp_path))
    assert one.sizes.tolist() == [0.1, 0.3]


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_never_rises(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for i, eps in enumerate([0.05, 0.1, 0.2]):
        plant(tmp_path, f"pgd{i}", [eps if hit else INF for hit in rng.random(30) < 0.4], eps=eps)
    plant(tmp_path, "deepfool", np.where(rng.random(30) < 0.8, rng.uniform(0, 0.4, 30), INF).tolist())
    (one,) = curves(run_of(tmp_path))
    shares = [one.at(epsilon).value for epsilon in np.linspace(0, 0.5, 200)]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1.0 > shares[-1]


BEST = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("sizes", "value"),
    [
        (BEST, 1.0),
        ([INF] * 4, 0.0),  # never succeeds: as good as none
        ([2.0, 2.0, 3.0, 4.0], 1 - 0.25 / 1.5),  # A = 11/4, A* = 10/4, c d = 4
        ([100.0, 2.0, 3.0, 4.0], 1 - 0.75 / 1.5),  # what is larger than the largest of the best counts as that
    ],
)
def test_optimality_is_a_ratio_of_areas(sizes, value):
    assert optimality(np.array(sizes), BEST).value == pytest.approx(value)


def test_optimality_with_what_was_wrong_before_and_what_nobody_broke():
    """c = 4/5, d = 4: c d = 3.2; A* = (0 + 1 + 2 + 4 + 4) / 5 = 2.2, A = (0 + 2 + 2 + 4 + 4) / 5 = 2.4."""
    best, sizes = np.array([0.0, 1.0, 2.0, 4.0, INF]), np.array([0.0, 2.0, 2.0, 4.0, INF])
    assert optimality(sizes, best).value == pytest.approx(1 - 0.2 / 1.0)


@pytest.mark.parametrize("best", [[], [0.0, 0.0], [INF, INF], [2.0, 2.0]])
def test_optimality_is_not_defined_where_nobody_can_be_better_than_another(best):
    assert np.isnan(optimality(np.array(best), np.array(best)).value)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(1, 3)), min_size=2, max_size=30))
def test_optimality_is_the_area_between_two_curves(pairs):
    """Against a numerical integral of both curves."""
    best, sizes = np.array([a for a, _ in pairs]), np.array([a * b for a, b in pairs])
    most = best.max()
    grid = (np.arange(20_000) + 0.5) * most / 20_000
    area, least = (float((one[None] > grid[:, None]).mean(1).mean() * most) for one in (sizes, best))
    if most - least > 0.01 * most:
        assert optimality(sizes, best).value == pytest.approx(1 - (area - least) / (most - least), abs=0.02)


def test_the_interval_of_optimality_covers_what_many_samples_say():
    """Sizes 1 to 1.5 times the best ones, which are uniform up to a known d; below ten samples there is none."""
    rng = np.random.default_rng(0)

    def drawn(n):
        best = np.append(rng.uniform(0, 1, n - 1), 1.0)
        return best * rng.uniform(1, 1.5, n), best

    truth, covered = optimality(*drawn(400_000)).value, 0
    for _ in range(200):
        one = optimality(*drawn(40))
        assert one.low <= one.value <= one.high and one.n == 40
        covered += one.low <= truth <= one.high
    assert 180 <= covered <= 199
    few = optimality(*drawn(9))
    assert np.isnan(few.low) and few.value > 0
