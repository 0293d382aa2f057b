"""Defences that only change the image, against closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from torch import nn
from torchvision.io import decode_jpeg, encode_jpeg

from robustbench_lite.defenses import JPEG, BitDepth, Median, RandomResizePad
from robustbench_lite.engine.mixture import mix
from tests.helpers import images


def linear(pixels: int) -> nn.Module:
    """Ten weighted sums of all pixels."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 10, bias=False))
    net[1].weight.data = torch.randn(10, pixels, generator=torch.Generator().manual_seed(0))
    return net.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_bit_depth_takes_the_nearest_level_half_up(bits):
    levels = torch.arange(2**bits) / (2**bits - 1)
    x = images(4, (1, 8, 8))
    seen = BitDepth(bits=bits).see(x, 0)
    nearest = levels[(x[..., None] - levels).abs().argmin(-1)]
    assert torch.allclose(seen, nearest, atol=1e-6)
    middle = torch.tensor([[[[0.5]]]])
    assert BitDepth(bits=1).see(middle, 0) == 1


@pytest.mark.parametrize("defense", [BitDepth(bits=2), JPEG(quality=30)], ids=lambda one: one.registered)
def test_gradients_go_straight_through_what_has_none(defense):
    """Of a linear classifier the gradient is then its weights, exactly; the answer is the defended one's."""
    net, x = linear(64), images(3, (1, 8, 8)).requires_grad_()
    logits = defense(net)(x)
    gradient = torch.autograd.grad(logits[:, 4].sum(), x)[0]
    assert torch.equal(gradient, net[1].weight[4].view(1, 1, 8, 8).expand(3, -1, -1, -1))
    assert torch.equal(logits.detach(), net(defense.see(x.detach(), 0)))


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_another_codec_makes_of_it(channels):
    x = nn.functional.interpolate(images(2, (channels, 4, 4)), size=32, mode="bilinear")
    for image, seen in zip((x * 255 + 0.5).byte(), JPEG(quality=40).see(x, 0), strict=True):
        other = decode_jpeg(encode_jpeg(image, quality=40))
        assert (seen * 255 - other).abs().max() <= 3  # another build rounds some colours by a level


def test_jpeg_loses_more_at_less_quality():
    x = images(2, (1, 16, 16))
    lost = [float((JPEG(quality=quality).see(x, 0) - x).norm()) for quality in (95, 50, 5)]
    assert lost[0] < lost[1] < lost[2]


@pytest.mark.parametrize("size", [3, 5])
def test_the_median_is_scipys(size):
    x = images(2, (2, 9, 9))
    other = median_filter(x.numpy(), size=(1, 1, size, size), mode="mirror")
    assert np.array_equal(Median(size=size).see(x, 0).numpy(), other)


def test_nothing_is_resized_where_nothing_may_be():
    x = images(2, (1, 8, 8))
    assert torch.allclose(RandomResizePad(least=1).see(x, 3), x, atol=1e-6)


def test_resized_images_lie_whole_on_black():
    white = torch.ones((1, 1, 20, 20))
    boxes = set()
    for number in range(40):
        seen = RandomResizePad(least=0.5).see(white, number)[0, 0]
        rows, columns = (seen.amax(axis).nonzero()[:, 0] for axis in (1, 0))
        inner = seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert torch.allclose(inner, torch.ones_like(inner)) and inner.sum().isclose(seen.sum())
        assert 10 <= len(rows) == len(columns) <= 20
        boxes.add((int(rows[0]), int(columns[0]), len(rows)))
    assert len(boxes) > 30


def test_the_answer_is_the_mean_over_the_draws_and_so_is_the_gradient():
    net, x, defense = linear(64), images(2, (1, 8, 8)).requires_grad_(), RandomResizePad(times=4)
    expected = mix([net(defense.see(x, number)) for number in range(4)])
    logits = defense(net)(x)
    assert torch.allclose(logits, expected)
    slopes = [torch.autograd.grad(z[:, 1].sum(), x, retain_graph=True)[0] for z in (logits, expected)]
    assert torch.allclose(*slopes)
