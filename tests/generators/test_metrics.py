"""Metrics against closed forms, other libraries, and what they must say of copies, collapses and noise."""

from __future__ import annotations

import math

import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import nn

from robustbench_lite.errors import ModelError
from robustbench_lite.generators.metrics.classified import (
    classifier_score,
    frechet,
    frechet_of_gaussians,
    look,
    shares,
    unevenness,
)
from robustbench_lite.generators.metrics.manifolds import precision_recall
from robustbench_lite.generators.metrics.neighbours import copying, nearest
from robustbench_lite.generators.metrics.parzen import log_densities, parzen
from robustbench_lite.generators.metrics.patches import descriptors, pyramid, rebuilt, sliced_wasserstein, swd
from robustbench_lite.generators.metrics.similarity import alikeness, ms_ssim


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(n=16, side=32, channels=1, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


# Parzen windows


def test_one_window_is_a_gaussian():
    centre, data = numbers(1, 3), numbers(5, 3, seed=1)
    expected = scipy.stats.multivariate_normal(centre[0].numpy(), 0.3**2).logpdf(data.numpy())
    assert torch.allclose(log_densities(centre, data, 0.3), torch.from_numpy(expected))


def test_several_windows_are_a_mixture():
    centres, data = numbers(7, 2, 2), numbers(9, 2, 2, seed=1)
    parts = torch.distributions.Independent(torch.distributions.Normal(centres.flatten(1), 0.5), 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(7).double()), parts)
    assert torch.allclose(log_densities(centres, data, 0.5, rows=4), mixture.log_prob(data.flatten(1)))


def test_the_bandwidth_is_chosen_on_validation_images_and_the_error_taken_over_test_images():
    generated, validation, test = numbers(500, 2), numbers(200, 2, seed=1), numbers(100, 2, seed=2)
    found = parzen(generated, validation, test, [0.01, 0.3, 10])
    values = log_densities(generated, test, 0.3)
    assert found.sigma == 0.3 and found.n == 500
    assert found.mean == pytest.approx(values.mean().item())
    assert found.standard_error == pytest.approx(scipy.stats.sem(values.numpy()))
    truth = -math.log(2 * math.pi) - 1  # mean log-density of a standard Gaussian in the plane
    assert found.mean == pytest.approx(truth, abs=0.3)


# a classifier's view


def test_the_score_is_the_number_of_classes_at_best_and_one_at_worst():
    assert classifier_score(torch.eye(7).double().repeat(3, 1)) == pytest.approx(7)
    assert classifier_score(torch.full((5, 7), 1 / 7).double()) == pytest.approx(1)  # sure of nothing
    assert classifier_score(torch.eye(7).double()[[2, 2, 2]]) == pytest.approx(1)  # one class alone
    half = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    assert classifier_score(half) == pytest.approx(math.exp(0.9 * math.log(1.8) + 0.1 * math.log(0.2)))


def test_the_frechet_distance_of_gaussians_is_exact():
    """Where covariances commute it is |m - m'|^2 + |C^1/2 - C'^1/2|^2."""
    turn = torch.linalg.qr(numbers(3, 3))[0]
    a, b = torch.tensor([4.0, 1.0, 0.25]).double(), torch.tensor([1.0, 9.0, 0.25]).double()
    mean, other = numbers(3), numbers(3, seed=1)
    found = frechet_of_gaussians(mean, turn * a @ turn.T, other, turn * b @ turn.T)
    assert found == pytest.approx((mean - other).square().sum().item() + 1 + 4)


def test_the_frechet_distance_agrees_with_the_root_of_the_product():
    first, second = numbers(50, 4), numbers(60, 4, seed=1) @ numbers(4, 4, seed=2)
    c, d = torch.cov(first.T).numpy(), torch.cov(second.T).numpy()
    root = scipy.linalg.sqrtm(c @ d).real
    gap = (first.mean(0) - second.mean(0)).square().sum().item()
    assert frechet(first, second) == pytest.approx(gap + (c + d - 2 * root).trace())
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)


def test_features_are_what_the_last_linear_layer_is_given():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU())
    net, x = nn.Sequential(body, nn.Linear(5, 3)), images(7, 4)
    found = look(net, x, rows=3)
    assert torch.allclose(found.features, body(x).double())
    assert torch.allclose(found.probabilities, net(x).double().softmax(1), atol=1e-6)
    assert not net[1]._forward_pre_hooks
    with pytest.raises(ModelError, match="expected a classifier whose last layer is linear"):
        look(nn.Flatten(), x)


def test_classes_that_occur():
    probabilities = torch.eye(4).double()[[0, 0, 0, 1]]
    assert shares(probabilities).tolist() == [0.75, 0.25, 0, 0]
    assert unevenness(probabilities) == pytest.approx(0.5)
    assert unevenness(torch.eye(4).double()) == 0


# patches


def test_a_pyramid_is_what_scipy_makes_and_gives_the_images_back():
    x = images(2, 32, 3).double()
    fine, coarse = pyramid(x, 2)
    row = torch.tensor([1, 4, 6, 4, 1]).double() / 16
    kernel = (row[:, None] * row)[None, None].numpy()
    blurred = scipy.ndimage.convolve(x.numpy(), kernel, mode="mirror")
    assert torch.allclose(coarse, torch.from_numpy(blurred)[:, :, ::2, ::2])
    assert torch.allclose(rebuilt(pyramid(x, 3)), x)
    assert torch.allclose(rebuilt([fine, coarse]), x)


def test_smooth_images_have_nothing_fine():
    assert pyramid(torch.full((1, 1, 32, 32), 0.3), 2)[0].abs().max() < 1e-6


def test_a_shift_costs_what_is_seen_of_it():
    points, shift = numbers(100, 3), numbers(3, seed=1)
    along = nn.functional.normalize(numbers(3, 50, seed=2), dim=0)
    expected = (shift @ along).abs().mean().item()
    assert sliced_wasserstein(points[torch.randperm(100)] + shift, points, along) == pytest.approx(expected)


def test_along_a_line_it_is_the_distance_of_wasserstein():
    a, b = numbers(200, 1), 3 * numbers(200, 1, seed=1) + 1
    expected = scipy.stats.wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert sliced_wasserstein(a, b, torch.ones(1, 1).double()) == pytest.approx(expected)


def test_patches_are_of_the_image_and_normalised_by_channel():
    x = images(4, 16, 3)
    found = descriptors(x, 20, torch.Generator().manual_seed(0)).view(80, 3, 49)
    assert torch.allclose(found.mean((0, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(found.std((0, 2), correction=0), torch.ones(3), atol=1e-5)
    whole = descriptors(images(3, 7), 1, torch.Generator()).view(3, 1, 7, 7)  # there is but one place
    assert torch.allclose(whole, (images(3, 7) - images(3, 7).mean()) / images(3, 7).std(correction=0), atol=1e-5)


def test_distances_tell_what_differs_and_at_which_resolution():
    """Smooth images lack what is fine, more than what is coarse."""
    x = images(64)
    smooth = nn.functional.interpolate(images(64, 8), size=32, mode="bilinear")
    near, far = swd(x, images(64, seed=5), per_image=32, directions=64), swd(x, smooth, per_image=32, directions=64)
    assert list(near) == [32, 16]
    assert all(near[side] < far[side] / 2 for side in near)
    assert far[32] / near[32] > 1.5 * far[16] / near[16]
    assert all(map(math.isfinite, swd(x, torch.zeros_like(x), per_image=8, directions=8).values()))
    with pytest.raises(ValueError, match="expected as many real images as generated ones"):
        swd(x, smooth[:5])


# structural similarity


def test_an_image_is_like_itself():
    x = images(3, channels=3)
    assert torch.allclose(ms_ssim(x, x), torch.ones(3))


def test_even_images_differ_in_brightness_alone():
    """Only the coarsest scale sees it: (2ab + c) / (a^2 + b^2 + c) to the power of its weight."""
    a, b = (torch.full((1, 1, 32, 32), value, dtype=torch.float64) for value in (0.2, 0.7))
    c = 1e-4
    expected = ((2 * 0.2 * 0.7 + c) / (0.2**2 + 0.7**2 + c)) ** 0.1333
    assert ms_ssim(a, b).item() == pytest.approx(expected)


def test_one_scale_is_what_kornia_says():
    from kornia.metrics import ssim

    from robustbench_lite.generators.metrics import similarity

    a, b = images(2, 16, 3), images(2, 16, 3, seed=1)
    theirs = ssim(a, b, window_size=11, padding="valid").flatten(1).mean(1)
    assert torch.allclose(similarity._ssim(a, b)[0], theirs, atol=1e-4)


def test_a_collapse_is_seen():
    x = images(20)
    assert alikeness(x[:1].repeat(20, 1, 1, 1), 50) == pytest.approx(1, abs=1e-5)
    assert alikeness(x, 50) < 0.2


# manifolds and neighbours


def test_precision_and_recall_along_a_line():
    """Ten real points with gaps of 1: each reaches 1 where k is 1."""
    real = torch.arange(10.0)[:, None]
    generated = torch.tensor([0.5, 3.2, 20.0, 30.0])[:, None]
    found = precision_recall(real, generated, k=1)
    assert found.precision == 0.5
    # radii of the generated: 2.7, 2.7, 10, 10: 0.5 reaches 0..3, 3.2 reaches 1..5, 20 nothing below 10
    assert found.recall == 0.6


def test_precision_and_recall_tell_noise_from_collapse():
    real = numbers(300, 4)
    same = precision_recall(real, numbers(300, 4, seed=1))
    collapsed = precision_recall(real, 0.01 * numbers(300, 4, seed=1))
    wide = precision_recall(real, 10 * numbers(300, 4, seed=1))
    assert min(same.precision, same.recall) > 0.7
    assert collapsed.precision == 1 and collapsed.recall < 0.05
    assert wide.precision < 0.1


def test_neighbours_are_those_of_all_pairs():
    x, pool = images(5, 4), images(9, 4, seed=1)
    distances, places = nearest(x, pool, rows=2)
    every = (x.flatten(1)[:, None] - pool.flatten(1)).norm(dim=2)
    assert torch.allclose(distances, every.min(1).values, atol=1e-4) and torch.equal(places, every.argmin(1))


def test_copies_are_told_from_fresh_images():
    train, test = numbers(400, 6), numbers(200, 6, seed=1)
    fresh, copied = numbers(200, 6, seed=2), train[:200] + 0.001 * numbers(200, 6, seed=3)
    apart = nearest(test, train)[0]
    honest, caught = copying(fresh, train, apart), copying(copied, train, apart)
    assert honest.copies < 0.03 and honest.nearer == pytest.approx(0.5, abs=0.08)
    assert caught.copies == 1 and caught.nearer > 0.99
    assert copying(test, train, apart).nearer == pytest.approx(0.5)
