"""Intervals and tests that are computed by resampling or by counting: against scipy, and against the truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustbench_lite.results.paired_tests import permuted, sign_test
from robustbench_lite.results.statistics import (
    bootstrap_mean,
    bootstrap_ratio,
    mean_of_views,
    median,
    size_of,
)

INF = float("inf")


def skewed(n: int) -> np.ndarray:
    return np.random.default_rng(n).lognormal(sigma=0.8, size=n)


def as_wide(n: int) -> float:
    """The confidence at which scipy's BCa is as wide as ours at 95 %: Student's t instead of the normal law."""
    tail = NormalDist().cdf(float(stats.t.ppf(0.025, n - 1)) * (n / (n - 1)) ** 0.5)
    return 1 - 2 * tail


def bca(data, statistic, n, **options):
    rng = np.random.default_rng(1)
    found = stats.bootstrap(data, statistic, confidence_level=as_wide(n), n_resamples=20000, rng=rng, **options)
    return found.confidence_interval


@pytest.mark.parametrize("n", [10, 30, 200])
def test_the_bootstrap_of_a_mean_is_bca(n):
    data = skewed(n)
    found, expected = bootstrap_mean(data, resamples=20000), bca((data,), np.mean, n)
    width = expected.high - expected.low
    assert found.value == pytest.approx(data.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)
    plain = np.quantile([data[rows].mean() for rows in np.random.default_rng(2).integers(0, n, (4000, n))], 0.975)
    assert found.high > plain  # the percentile interval of skewed data ends too early


@pytest.mark.parametrize("n", [12, 200])
def test_the_bootstrap_of_a_ratio_is_bca(n):
    top, bottom = skewed(n), 0.3 + skewed(n)[::-1]
    found = bootstrap_ratio(top, bottom, resamples=20000)
    ratio = lambda a, b, axis: a.mean(axis) / b.mean(axis)
    expected = bca((top, bottom), ratio, n, paired=True, vectorized=True)
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)


@pytest.mark.parametrize(("n", "least"), [(10, 0.89), (30, 0.91), (100, 0.92)])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [(lambda rng, n: rng.normal(1, 1, n), 1.0), (lambda rng, n: rng.lognormal(0, 0.5, n), np.exp(0.125))],
    ids=["normal", "lognormal"],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(draw, mean, n, least):
    """600 runs: a true 95 % shows as 93.2 to 96.8; the percentile bootstrap of ten lognormal numbers as 86."""
    rng = np.random.default_rng(n)
    inside = np.mean([(e := bootstrap_mean(draw(rng, n))).low <= mean <= e.high for _ in range(600)])
    assert least < inside < 0.975


def test_few_samples_have_no_interval():
    for found in (bootstrap_mean(skewed(9)), bootstrap_ratio(skewed(9), 1 + skewed(9)), mean_of_views([0.2, 0.6], 50)):
        assert np.isfinite(found.value) and np.isnan([found.low, found.high]).all()
    assert np.isfinite(bootstrap_mean(skewed(10)).low)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0])
def test_equal_numbers_have_no_spread(value):
    found = bootstrap_mean([value] * 25)
    assert (found.low, found.high) == pytest.approx((value, value))


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_the_permutation_test_is_exact_for_few(n):
    data = np.random.default_rng(n).normal(0.5, 1, n)
    expected = stats.permutation_test((data,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert permuted(data) == pytest.approx(expected)
    assert permuted([*data, 0.0, 0.0]) == permuted(data)
    assert permuted(-data) == permuted(data)


@pytest.mark.parametrize("n", [40, 400, 3000])
def test_the_permutation_test_of_many_is_about_students(n):
    data = np.random.default_rng(n).normal(1.5 / n**0.5, 1, n)
    assert permuted(data) == pytest.approx(stats.ttest_1samp(data, 0).pvalue, abs=0.02)


def test_nothing_that_differs_is_no_evidence():
    assert permuted([0.0] * 30) == permuted([]) == 1.0
    assert permuted(np.ones(100)) == pytest.approx(1e-4, rel=0.01)  # never 0


def test_pairs_with_failures_are_counted():
    first, second = [INF, INF, INF, 0.1, 0.3], [0.2, 0.1, INF, 0.2, 0.3]
    assert sign_test(first, second) == pytest.approx(stats.binomtest(2, 3).pvalue)
    assert sign_test([INF] * 6, [0.1] * 6) == 2 / 64
    assert sign_test([INF] * 6, [0.1] * 6, one_sided=True) == 1 / 64
    assert sign_test([INF], [INF]) == 1.0


@pytest.mark.parametrize("n", [6, 7, 20, 101, 500])
def test_medians_have_the_exact_interval_of_scipy(n):
    data = skewed(n)
    found, expected = median(data), stats.quantile_test(data, q=float(np.median(data)), p=0.5).confidence_interval()
    assert found.value == np.median(data)
    assert (found.low, found.high) == (expected.low, expected.high)


@given(st.integers(6, 60), st.integers(0, 2**16))
def test_intervals_of_medians_survive_infinity(n, seed):
    """Replacing what lies above the interval by infinity changes nothing."""
    data = np.random.default_rng(seed).random(n)
    found = median(data)
    assert median(np.where(data > found.high, INF, data)) == found
    assert found.low <= found.value <= found.high


def test_five_values_have_a_median_without_an_interval():
    assert median([1.0, 2.0, 3.0, 4.0, 5.0]).value == 3 and np.isnan(median([1.0] * 5).low)
    assert np.isnan(median([]).value) and np.isnan(median([1.0, np.nan]).value)
    assert median([1.0, INF]).value == INF


def test_a_mean_size_needs_nearly_every_success():
    """The sizes of failures are those of iterates that fool nobody: they must not enter."""
    sizes = np.concatenate([np.full(99, 0.2), [0.0]])
    most = size_of(sizes, sizes > 0)
    assert (most.statistic, most.estimate.value, most.success) == ("mean", pytest.approx(0.2), 0.99)
    sizes[0] = 0
    fewer = size_of(sizes, sizes > 0)
    assert (fewer.statistic, fewer.estimate.value) == ("median", 0.2)
    never = size_of(np.zeros(40), np.zeros(40, bool))
    assert (never.statistic, never.estimate.value, never.estimate.low, never.success) == ("median", INF, INF, 0.0)
    half = size_of(np.linspace(0.1, 1, 40), np.arange(40) < 24)
    assert half.estimate.value == pytest.approx(np.linspace(0.1, 1, 40)[19:21].mean()) and half.estimate.high == INF
    assert np.isnan(size_of([], []).estimate.value)
