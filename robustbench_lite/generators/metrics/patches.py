"""Sliced Wasserstein distance of patches of Laplacian pyramids, https://arxiv.org/abs/1710.10196 (section 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from robustbench_lite.generators.metrics.jackknife import group_of, groups
from robustbench_lite.lazy import torch

__all__ = ["descriptors", "pyramid", "rebuilt", "sliced_wasserstein", "swd", "swd_without"]

_SIDE = 7  # of a patch
_COARSEST = 16  # pixels: no level is smaller


def pyramid(images: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """What each halving takes away, the finest first; the last is what remains."""
    parts = [images]
    for _ in range(levels - 1):
        coarse = _blurred(parts[-1])[:, :, ::2, ::2]
        parts[-1] = parts[-1] - _doubled(coarse)
        parts.append(coarse)
    return parts


def rebuilt(parts: list[torch.Tensor]) -> torch.Tensor:
    """The images of a pyramid."""
    images = parts[-1]
    for part in parts[-2::-1]:
        images = _doubled(images) + part
    return images


def descriptors(images: torch.Tensor, per_image: int, generator: torch.Generator) -> torch.Tensor:
    """Patches (n * per_image, C * 49) at random places, each channel of mean 0 and deviation 1 over all of them."""
    n, channels, height, width = images.shape
    tops = torch.randint(height - _SIDE + 1, (n, per_image), generator=generator)
    lefts = torch.randint(width - _SIDE + 1, (n, per_image), generator=generator)
    windows = images.unfold(2, _SIDE, 1).unfold(3, _SIDE, 1)  # (n, C, tops, lefts, 7, 7)
    return _normalised(windows[torch.arange(n)[:, None], :, tops, lefts].flatten(0, 1).flatten(1), channels)


def _normalised(patches: torch.Tensor, channels: int) -> torch.Tensor:
    """Patches (n, C * 49), each channel of mean 0 and deviation 1 over all of them."""
    patches = patches.view(-1, channels, _SIDE, _SIDE)
    mean = patches.mean((0, 2, 3), keepdim=True)
    std = patches.std((0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / std.clamp_min(1e-12)).flatten(1).view(-1, channels * _SIDE**2)


def sliced_wasserstein(a: torch.Tensor, b: torch.Tensor, directions: torch.Tensor) -> float:
    """Mean W1 of points (n, d) and (n, d), as they are seen along unit vectors (d, k)."""
    return float(((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean())


def swd(
    real: torch.Tensor, generated: torch.Tensor, seed: int = 0, per_image: int = 128, directions: int = 512
) -> dict[int, float]:
    """1000 times the distance at each resolution, by its side in pixels; as many real images as generated ones.

    The paper takes 16,384 images of each, 128 patches of an image, and 512 directions.
    """
    return {side: values[0] for side, values in swd_without(real, generated, seed, per_image, directions).items()}


def swd_without(
    real: torch.Tensor, generated: torch.Tensor, seed: int = 0, per_image: int = 128, directions: int = 512
) -> dict[int, list[float]]:
    """The same, of all images, then without each group of both, for which the first directions have to do."""
    if real.shape != generated.shape:
        raise ValueError(f"expected as many real images as generated ones, of one size, got {real.shape} and "
                         f"{generated.shape}")  # fmt: skip
    levels = max(1, int(math.log2(real.shape[-1] / _COARSEST)) + 1)
    distances: dict[int, list[float]] = {}
    generator = torch.Generator().manual_seed(seed)
    for a, b in zip(pyramid(real, levels), pyramid(generated, levels), strict=True):
        first, second = (descriptors(part, per_image, generator) for part in (a, b))
        along = torch.nn.functional.normalize(torch.randn(first.shape[1], directions, generator=generator), dim=0)
        pieces = torch.split(along, 32, 1)  # a sort of all at once takes gigabytes
        whole = [sliced_wasserstein(first, second, one) for one in pieces]
        left = [value - whole[0] for value in _without(first, second, pieces[0], per_image)]
        value = sum(whole) / len(pieces)
        distances[a.shape[-1]] = [1000 * (value + change) for change in (0.0, *left)]
    return distances


def _without(a: torch.Tensor, b: torch.Tensor, directions: torch.Tensor, per_image: int) -> Iterator[float]:
    """The sliced distance of patches (n, d) without those of each group of images, normalised anew."""
    mark, channels = group_of(len(a) // per_image).repeat_interleave(per_image), a.shape[1] // _SIDE**2
    for g in range(groups(len(a) // per_image)):
        first, second = (_normalised(points[mark != g], channels) for points in (a, b))
        yield sliced_wasserstein(first, second, directions)


def _kernel(channels: int) -> torch.Tensor:
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    return (row[:, None] * row).expand(channels, 1, 5, 5)


def _blurred(images: torch.Tensor) -> torch.Tensor:
    channels, pad = images.shape[1], torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    return torch.nn.functional.conv2d(pad, _kernel(channels).to(images), groups=channels)


def _doubled(images: torch.Tensor) -> torch.Tensor:
    wide = images.new_zeros(*images.shape[:2], 2 * images.shape[2], 2 * images.shape[3])
    wide[:, :, ::2, ::2] = images
    return 4 * _blurred(wide)
