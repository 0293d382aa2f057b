"""Intervals of scores: standard errors in closed form, values without a group as they are on the rest, coverage."""

from __future__ import annotations

import math

import pytest
import torch

from robustbench_lite.generators.metrics.classified import frechet
from robustbench_lite.generators.metrics.jackknife import (
    GROUPS,
    ends,
    group_of,
    jackknifed,
    share_ends,
    standard_error,
)
from robustbench_lite.generators.metrics.manifolds import precision_recall, within
from robustbench_lite.generators.metrics.neighbours import copying
from robustbench_lite.generators.metrics.patches import descriptors, pyramid, sliced_wasserstein, swd, swd_without
from robustbench_lite.generators.metrics.similarity import alike_without, alikeness, ms_ssim
from robustbench_lite.results.statistics import wilson


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(n, seed=0):
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def mean(x):
    return float(x.mean())


def test_of_a_mean_it_is_the_standard_error_of_the_means_of_groups():
    x = numbers(400)
    means = torch.stack([x[group_of(400) == g].mean() for g in range(GROUPS)])
    values = jackknifed(mean, x)
    assert standard_error(values[1:]) == pytest.approx(float(means.std() / GROUPS**0.5))
    low, high = ends(values, lowest=-math.inf)
    assert (low + high) / 2 == pytest.approx(mean(x)) and (high - low) / 2 == pytest.approx(
        2.0930 * float(means.std() / GROUPS**0.5)
    )
    assert ends(values, lowest=values[0]) == (values[0], pytest.approx(high))


def test_the_error_of_a_frechet_distance_is_that_of_moments_on_a_line():
    """(m - m_)^2 + (s - s_)^2 of n numbers: its variance is (4 (m - m_)^2 + 2 (s - s_)^2) (s^2 + s_^2) / n."""
    gap, deviation, n = 2.0, 3.0, 500
    expected = math.sqrt((4 * gap**2 + 2 * (deviation - 1) ** 2) * (1 + deviation**2) / n)
    draws = [(numbers(n, 1, seed=2 * i), gap + deviation * numbers(n, 1, seed=2 * i + 1)) for i in range(40)]
    squares = [standard_error(jackknifed(frechet, real, ours)[1:]) ** 2 for real, ours in draws]
    assert math.sqrt(sum(squares) / len(squares)) == pytest.approx(expected, rel=0.1)


def test_an_interval_covers_what_other_draws_say():
    """Of the distance and of precision, which no bootstrap would: both compare points with each other."""
    draws = [(numbers(200, 2, seed=2 * i), 1.2 * numbers(200, 2, seed=2 * i + 1) + 1) for i in range(40)]
    for statistic, own in (
        (lambda real, ours: jackknifed(frechet, real, ours), ends),
        (lambda real, ours: within(ours, real), lambda values: share_ends(values, 200)),
    ):
        found = [statistic(*draw) for draw in draws]
        truth = sum(values[0] for values in found) / len(found)
        covered = [own(values)[0] <= truth <= own(values)[1] for values in found]
        assert sum(covered) >= 34
        widths = [own(values)[1] - own(values)[0] for values in found]
        assert max(widths) < 4 * 4 * torch.tensor([values[0] for values in found]).std()  # and is not everything


def test_a_share_of_independent_images_has_the_interval_of_wilson():
    n, share = 1000, 0.3
    error = math.sqrt(share * (1 - share) / n)
    step = error / math.sqrt((GROUPS - 1) / GROUPS * GROUPS)
    values = [share, *([share - step, share + step] * (GROUPS // 2))]
    plain, wide = wilson(300, n), share_ends([share, *[share + 2 * (v - share) for v in values[1:]]], n)
    assert share_ends(values, n) == pytest.approx((plain.low, plain.high), abs=1e-3)
    assert wide[1] - wide[0] == pytest.approx(2 * (plain.high - plain.low), rel=0.02)
    assert share_ends([1.0] * 21, n) == (wilson(n, n).low, 1.0)  # that none failed is no certainty


def test_of_few_images_nothing_is_said():
    values = jackknifed(mean, numbers(99))
    assert len(values) == 1 and all(map(math.isnan, ends(values)))
    assert len(within(numbers(99, 2), numbers(99, 2))) == len(alike_without(images(99), 10)) == 1


def test_precision_without_a_group_is_that_of_the_others():
    real, ours, mark = numbers(120, 3), 1.3 * numbers(120, 3, seed=1), group_of(120)
    values = within(ours, real)
    assert len(values) == 1 + GROUPS and values[0] == precision_recall(real, ours).precision
    for g in (0, 7, 19):
        assert values[1 + g] == pytest.approx(precision_recall(real[mark != g], ours[mark != g]).precision)


def test_patches_without_a_group_are_those_of_the_other_images():
    a, b, mark = images(100), images(100, seed=1).square(), group_of(100)
    found = swd_without(a, b, per_image=3, directions=20)
    assert {side: values[0] for side, values in found.items()} == swd(a, b, per_image=3, directions=20)
    generator = torch.Generator().manual_seed(0)
    patches = [descriptors(pyramid(one, 1)[0], 3, generator) for one in (a, b)]
    along = torch.nn.functional.normalize(torch.randn(49, 20, generator=generator), dim=0)
    kept = [one[(mark != 4).repeat_interleave(3)] for one in patches]
    again = [(one - one.mean()) / one.std(correction=0) for one in kept]
    assert found[16][1 + 4] == pytest.approx(1000 * sliced_wasserstein(*again, along), rel=1e-4)


def test_pairs_without_a_group_have_none_of_its_images():
    x, mark = images(100), group_of(100)
    values = alike_without(x, 50)
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(100, (50,), generator=generator)
    second = (first + torch.randint(1, 100, (50,), generator=generator)) % 100
    kept = (mark[first] != 3) & (mark[second] != 3)
    assert values[0] == alikeness(x, 50)
    assert values[1 + 3] == pytest.approx(mean(ms_ssim(x[first[kept]], x[second[kept]])), rel=1e-5)


def test_that_images_are_nearer_than_others_has_an_interval():
    train, fresh, far = numbers(500, 2), numbers(400, 2, seed=1), numbers(400, 2, seed=2)
    apart = torch.cdist(far, train).min(1).values
    found = copying(fresh, train, apart)
    assert found.low < 0.5 < found.high and found.high - found.low < 0.15
    assert copying(train[:400] + 1e-3, train, apart).low > 0.9
