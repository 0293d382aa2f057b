"""The one resample: exact where the answer is known, and beside scipy and torchvision elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.v2 import functional as vision

from robustbench_lite.transforms.limits import Limits
from robustbench_lite.transforms.warp import warp
from tests.helpers import images

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 224, 224), (1, 7, 12)]


def moved(x, angle=0.0, dx=0.0, dy=0.0, scale=None, **options):
    full = lambda value: torch.full((len(x),), float(value))
    return warp(x, full(angle), full(dx), full(dy), None if scale is None else full(scale), **options)


def smooth(n=4, side=32):
    """Images without fine structure: resamplers agree on these."""
    rough = images(n, (1, side, side)).numpy()
    return torch.from_numpy(np.stack([ndimage.gaussian_filter(image, (0, 3, 3)) for image in rough]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fill", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_nothing_done_is_the_identity(shape, fill, interpolation):
    x = images(3, shape)
    assert (moved(x, fill=fill, interpolation=interpolation) - x).abs().max() <= 1e-6


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
@pytest.mark.parametrize("side", [28, 31])
def test_quarter_turns_are_exact_and_counter_clockwise(turns, side):
    x = images(3, (3, side, side))
    assert (moved(x, 90 * turns) - torch.rot90(x, turns, (2, 3))).abs().max() <= 1e-6
    assert torch.equal(torch.rot90(x, 1, (2, 3)), x.transpose(2, 3).flip(2))  # the exact transpose-flip


def test_two_quarter_turns_compose():
    x = images(3, (1, 28, 28))
    assert (moved(moved(x, 90), 90) - moved(x, 180)).abs().max() <= 1e-6


def test_whole_pixels_move_right_and_down_and_black_comes_in():
    x = images(2, (1, 9, 9))
    y = moved(x, dx=2, dy=-3)
    assert torch.allclose(y[:, :, :6, 2:], x[:, :, 3:, :7], atol=1e-6)
    assert y[:, :, 6:].abs().max() == 0
    assert y[:, :, :, :2].abs().max() == 0


def test_the_translation_comes_after_the_rotation():
    x = images(2, (1, 9, 9))
    assert torch.allclose(moved(x, 90, dx=2), moved(moved(x, 90), dx=2), atol=1e-6)


def test_scale_two_doubles_the_middle():
    x = images(1, (1, 9, 9))
    assert torch.allclose(moved(x, scale=2.0)[0, 0, ::2, ::2], x[0, 0, 2:7, 2:7], atol=1e-6)


@pytest.mark.parametrize("angle", [-30.0, 7.0, 30.0])
def test_scipy_agrees(angle):
    x = smooth()
    theirs = ndimage.rotate(x.numpy(), angle, axes=(3, 2), reshape=False, order=1)
    inner = slice(6, 26)  # scipy's coordinates differ at the border
    assert np.abs(moved(x, angle).numpy() - theirs)[:, :, inner, inner].max() < 1e-5


def test_torchvision_agrees_within_interpolation_error():
    x = smooth()
    theirs = vision.affine(x, 20.0, [3, -2], 1.0, [0.0, 0.0], interpolation=vision.InterpolationMode.BILINEAR)
    ours = moved(x, -20.0, 3, -2)  # torchvision counts clockwise
    assert (ours - theirs)[:, :, 8:24, 8:24].abs().max() < 0.01


def test_each_image_gets_its_own_transform():
    x = images(3, (3, 16, 16))
    angle, dx, dy = torch.tensor([0.0, 90.0, 5.0]), torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, -2.0])
    together = warp(x, angle, dx, dy)
    alone = torch.cat([warp(x[i : i + 1], angle[i : i + 1], dx[i : i + 1], dy[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)


def test_gradients_agree_with_finite_differences():
    x = smooth(2, 8).double().requires_grad_()
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([3.3, -8.1], [0.3, 0.7], [-0.4, 1.2])]
    scale = torch.tensor([1.1, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(warp, (x, *values, scale), eps=1e-6, atol=1e-5)


def test_on_a_canvas_no_pixel_leaves():
    canvas = torch.nn.functional.pad(smooth(3, 28), (9, 9, 9, 9))
    whole = canvas.sum((1, 2, 3))
    for angle in (-30.0, 30.0, 45.0):
        assert torch.allclose(moved(canvas, angle, 3, -3).sum((1, 2, 3)), whole, rtol=1e-2)
    assert (moved(smooth(3, 28), 30.0, 3, -3).sum((1, 2, 3)) < 0.95 * smooth(3, 28).sum((1, 2, 3))).all()


def test_the_grid_is_the_papers_in_another_order():
    limits = Limits(30.0, 3.0)
    found = {tuple(round(value, 9) for value in row) for row in limits.grid(31, 5).tolist()}
    axis = lambda size, n: np.linspace(-size, size, n).round(9).tolist()
    assert found == {(a, x, y, 1.0) for a in axis(30, 31) for x in axis(3, 5) for y in axis(3, 5)}
    assert len(limits.grid(31, 5)) == 775
    assert (limits.grid(31, 5)[:2].abs() == torch.tensor([30.0, 3.0, 3.0, 1.0])).all()  # corners first
    assert limits.contain(limits.grid(31, 5)).all()
    assert not limits.contain(torch.tensor([[30.1, 0.0, 0.0, 1.0]], dtype=torch.float64)).any()
    assert len(Limits(10.0, 0.0, 0.2).grid(3, 1, 3)) == 9
