from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustbench_lite.results.statistics import (
    bootstrap_mean,
    bootstrap_ratio,
    clopper_pearson,
    mean_of_views,
    median_with_failures,
    newcombe,
    wilson,
)

SHARES = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
SKEWED = np.random.default_rng(0).lognormal(sigma=0.5, size=200)


@given(SHARES, st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(share, confidence):
    found = wilson(*share, confidence)
    expected = stats.binomtest(*share).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high and found.n == share[1]


@given(SHARES, st.sampled_from([0.95, 0.999]))
def test_clopper_pearson_agrees_with_scipy(share, confidence):
    expected = stats.binomtest(*share).proportion_ci(confidence, method="exact")
    assert clopper_pearson(*share, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),  # Newcombe 1998, Table II, method 10
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_differences_of_shares_have_the_published_intervals(first, second, low, high):
    found = newcombe(wilson(*first), wilson(*second))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    back = newcombe(wilson(*second), wilson(*first))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_one_sample_is_as_sure_as_its_views():
    one, many = mean_of_views([0.4], 50), mean_of_views([0.2, 0.4, 0.6], 50)
    assert (one.value, one.low, one.high, one.n) == (0.4, wilson(20, 50).low, wilson(20, 50).high, 50)
    assert many == bootstrap_mean([0.2, 0.4, 0.6])


def test_a_share_of_nothing_is_unknown():
    found = wilson(0, 0)
    assert np.isnan(found.value) and (found.low, found.high) == (0, 1)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_more_successes_than_samples_are_refused(interval):
    with pytest.raises(ValueError, match="expected between 0 and 3"):
        interval(4, 3)


def test_many_samples_get_the_normal_interval_of_scipy():
    data = np.random.default_rng(2).lognormal(sigma=0.5, size=4000)
    found = bootstrap_mean(data)
    expected = stats.norm.interval(0.95, data.mean(), stats.sem(data))
    assert (found.low, found.high) == pytest.approx(expected)
    few = bootstrap_mean(data[:2000])
    near = stats.norm.interval(0.95, data[:2000].mean(), stats.sem(data[:2000]))
    assert (few.low, few.high) == pytest.approx(near, rel=3e-3)


def test_the_same_numbers_give_the_same_interval():
    assert bootstrap_mean(SKEWED) == bootstrap_mean(list(SKEWED))
    assert bootstrap_mean(SKEWED, seed=1) != bootstrap_mean(SKEWED)


@pytest.mark.parametrize("data", [[], [1.0, float("nan")], [1.0, float("inf")]])
def test_a_mean_of_what_is_not_defined_is_nan(data):
    assert np.isnan(bootstrap_mean(data).value)


def test_a_ratio_to_nothing_is_nan():
    assert np.isnan(bootstrap_ratio([1.0], [0.0]).value)
    with pytest.raises(ValueError, match="expected pairs"):
        bootstrap_ratio([1.0], [1.0, 2.0])


def test_a_ratio_survives_resamples_without_a_denominator():
    found = bootstrap_ratio([1.0] * 12, [0.0] * 11 + [1.0])  # a third of the resamples hold no 1
    assert found.value == 12 and np.isfinite(found.low)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=30))
def test_the_median_counts_failures_as_infinite(pairs):
    values, success = zip(*pairs, strict=True)
    with np.errstate(invalid="ignore"):
        expected = np.median(np.where(success, values, np.inf))
    found = median_with_failures(values, success)
    assert found == pytest.approx(expected) or (np.isinf(found) and not np.isfinite(expected))
