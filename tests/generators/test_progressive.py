"""Progressive growing: its layers against their formulas, and resolutions that fade in."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from robustbench_lite.generators.architecture import architectures
from robustbench_lite.generators.nets.growing import MinibatchStd, PixelNorm, equalised, faded, grown_after

ARCH = architectures.build("progressive", {"latent": 8, "filters": 4})
SIZE = (1, 32, 32)


def pair(progress):
    torch.manual_seed(0)
    nets = ARCH.generator(SIZE), ARCH.critic(SIZE, "layer")
    for net in nets:
        ARCH.grow(net, progress)
    return nets


def test_each_resolution_rests_as_long_as_the_next_fades_in():
    """Four resolutions, three fades: seven phases."""
    at = lambda phase: grown_after(phase / 7, 4)
    expected = {0: 0, 0.9: 0, 1.25: 0.25, 2.5: 1, 3.75: 1.75, 4.5: 2, 5.5: 2.5, 6.1: 3, 7: 3}
    assert {phase: at(phase) for phase in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "side"), [(0, 4), (1.5 / 7, 8), (2.5 / 7, 8), (5.5 / 7, 32), (1, 32)])
def test_both_networks_are_of_the_resolution_grown_to(progress, side):
    generator, critic = pair(progress)
    images = generator(torch.randn(4, 8))
    assert images.shape == (4, 1, side, side)
    assert ARCH.shown(critic, torch.randn(4, *SIZE)).shape == images.shape
    assert critic(images).shape == (4,)


@pytest.mark.parametrize("phase", [1, 3, 5])
def test_a_fade_begins_and_ends_without_a_jump(phase):
    z, real = torch.randn(4, 8), torch.rand(4, *SIZE)
    for edge in (phase, phase + 1):
        before, after = (pair((edge + step) / 7) for step in (-1e-6, 1e-6))
        a, b = before[0](z), after[0](z)
        assert torch.allclose(interpolate(a, size=b.shape[2:]), b, atol=1e-3)
        shown = [ARCH.shown(critic, real) for _, critic in (before, after)]
        assert torch.allclose(interpolate(shown[0], size=shown[1].shape[2:]), shown[1], atol=1e-3)
        scores = [critic(images) for (_, critic), images in zip((before, after), shown, strict=True)]
        assert torch.allclose(*scores, atol=1e-2)


def test_a_fade_is_between_the_coarse_and_the_fine():
    images = torch.rand(2, 1, 8, 8)
    coarse = interpolate(avg_pool2d(images, 2), scale_factor=2)
    assert torch.allclose(faded(images, 0.25), 0.75 * coarse + 0.25 * images)


def test_pixels_have_a_mean_square_of_one():
    out = PixelNorm()(torch.randn(2, 5, 3, 3) * 7)
    assert torch.allclose(out.square().mean(1), torch.ones(2, 3, 3), atol=1e-5)


def test_the_deviation_within_groups_is_one_more_map():
    x = torch.randn(8, 3, 4, 4)
    out = MinibatchStd()(x)
    assert torch.equal(out[:, :3], x)
    for group in (0, 1):  # images 0, 2, 4, 6 and 1, 3, 5, 7
        expected = x[group::2].std(0, correction=0).mean()
        assert torch.allclose(out[group::2, 3], expected, atol=1e-4)


def test_an_equalised_layer_keeps_the_size_of_what_it_is_given_whatever_its_width():
    torch.manual_seed(0)
    for width in (8, 256):
        layer = equalised(nn.Linear(width, 512), gain=1)
        assert layer.layer.weight.std().item() == pytest.approx(1, rel=0.1)
        assert layer(torch.randn(200, width)).std().item() == pytest.approx(1, rel=0.15)
        assert layer.scale == pytest.approx(1 / math.sqrt(width))
