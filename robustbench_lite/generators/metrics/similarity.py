"""Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003): how alike generated images are."""

from __future__ import annotations

from robustbench_lite.generators.metrics.jackknife import group_of, groups
from robustbench_lite.lazy import torch

__all__ = ["alike_without", "alikeness", "ms_ssim"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def alikeness(images: torch.Tensor, pairs: int = 10_000, seed: int = 0) -> float:
    """Mean MS-SSIM of random pairs of different images, as in https://arxiv.org/abs/1710.10196: 1 after a collapse."""
    return alike_without(images, pairs, seed)[0]


def alike_without(images: torch.Tensor, pairs: int = 10_000, seed: int = 0) -> list[float]:
    """The same, then without the pairs that have an image of a group, for each group.

    What is by chance in the choice of pairs counts twice, so that intervals are rather too wide.
    """
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(len(images), (pairs,), generator=generator)
    second = (first + torch.randint(1, len(images), (pairs,), generator=generator)) % len(images)
    parts = zip(torch.split(first, 500), torch.split(second, 500), strict=True)
    found = torch.cat([ms_ssim(images[a], images[b]) for a, b in parts])
    mine = group_of(len(images))
    kept = [(mine[first] != g) & (mine[second] != g) for g in range(groups(len(images)))]
    return [float(found.mean()), *(float(found[pair].mean()) for pair in kept)]


def ms_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(n,) of images (n, C, H, W) in [0, 1], over five halvings; a window that an image has no room for shrinks."""
    product = a.new_ones(len(a))
    for i, weight in enumerate(_WEIGHTS):
        similarity, contrast = _ssim(a, b)
        product = product * (similarity if i == len(_WEIGHTS) - 1 else contrast).clamp_min(0) ** weight
        if min(a.shape[2:]) > 1:
            a, b = (torch.nn.functional.avg_pool2d(images, 2) for images in (a, b))
    return product


def _ssim(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarity (n,), and its part without the brightness."""
    mean_a, mean_b = _local(a), _local(b)
    product = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    contrast = (2 * (_local(a * b) - product) + _C2) / (_local(a.square() + b.square()) - squares + _C2)
    brightness = (2 * product + _C1) / (squares + _C1)
    return (brightness * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)


def _local(images: torch.Tensor) -> torch.Tensor:
    """Gaussian means around every place at which the whole window is inside."""
    size, channels = min(_WINDOW, *images.shape[2:]), images.shape[1]
    places = torch.arange(size, dtype=images.dtype) - (size - 1) / 2
    row = torch.exp(-(places**2) / (2 * (_SIGMA * size / _WINDOW) ** 2))
    kernel = (row[:, None] * row / row.sum() ** 2).expand(channels, 1, size, size)
    return torch.nn.functional.conv2d(images, kernel.to(images), groups=channels)
