"""A small encoder-decoder from images to images and its critic (Xiao et al., https://arxiv.org/abs/1801.02610).

Functions of one vector of weights each, so that what was trained can be stored, and begins with numbers of our own.
Norms are those of an instance: what becomes of an image does not depend on the others of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt

from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw

__all__ = ["Translator"]

_LEAK = 0.2  # slope of the critic's LeakyReLU below 0


@dataclass(frozen=True)
class Translator:
    """Both networks for images of so many channels, of any side: as in the paper c8, d16, d32, r32 x 4, u16, u8, c."""

    channels: int
    filters: int = 8
    blocks: int = 4

    @property
    def _generator(self) -> list[tuple[int, ...]]:
        """Shapes of the kernels, one convolution after another."""
        c, f = self.channels, self.filters
        down = [(f, c, 3, 3), (2 * f, f, 3, 3), (4 * f, 2 * f, 3, 3)]
        between = [(4 * f, 4 * f, 3, 3)] * (2 * self.blocks)
        return [*down, *between, (2 * f, 4 * f, 3, 3), (f, 2 * f, 3, 3), (c, f, 3, 3)]

    @property
    def _critic(self) -> list[tuple[int, ...]]:
        c, f = self.channels, self.filters
        return [(f, c, 4, 4), (2 * f, f, 4, 4), (4 * f, 2 * f, 4, 4), (1, 4 * f, 1, 1)]

    def fresh(self, draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (P,) and (Q,) to begin with: normal, scaled by how many numbers each sums; `draw` has one row."""
        out = []
        for name, shapes in (("generator", self._generator), ("critic", self._critic)):
            scales = torch.cat([torch.full((prod(s),), sqrt(2 / prod(s[1:]))) for s in shapes])
            out.append(draw.normal(name, (len(scales),))[0] * scales.to(draw.key.device))
        return out[0], out[1]

    def translated(self, weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What the generator makes of the images x (n, C, H, W): numbers of any size, of the same shape."""
        nn, kernels = torch.nn.functional, _kernels(weights, self._generator)
        sides, h = [x.shape[2:]], _normed(nn.conv2d(x, next(kernels), padding=1))
        for _ in range(2):
            sides.append(h.shape[2:])
            h = _normed(nn.conv2d(h, next(kernels), stride=2, padding=1))
        for _ in range(self.blocks):
            inner = _normed(nn.conv2d(h, next(kernels), padding=1))
            h = h + _normed(nn.conv2d(inner, next(kernels), padding=1), bent=False)
        for side in sides[:0:-1]:
            h = _normed(nn.conv2d(nn.interpolate(h, size=side, mode="nearest"), next(kernels), padding=1))
        return nn.conv2d(h, next(kernels), padding=1)

    def criticised(self, weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The critic's scores (n,) of images x (n, C, H, W): the mean over their patches."""
        nn, kernels = torch.nn.functional, _kernels(weights, self._critic)
        h = nn.leaky_relu(nn.conv2d(x, next(kernels), stride=2, padding=1), _LEAK)
        for _ in range(2):
            h = nn.leaky_relu(_scaled(nn.conv2d(h, next(kernels), stride=2, padding=2)), _LEAK)
        return nn.conv2d(h, next(kernels)).flatten(1).mean(1)


def _kernels(weights: torch.Tensor, shapes: list[tuple[int, ...]]) -> Iterator[torch.Tensor]:
    parts = torch.split(weights, [prod(shape) for shape in shapes])
    return (part.view(shape) for part, shape in zip(parts, shapes, strict=True))


def _normed(h: torch.Tensor, *, bent: bool = True) -> torch.Tensor:
    scaled = _scaled(h)
    return scaled.relu() if bent else scaled


def _scaled(h: torch.Tensor) -> torch.Tensor:
    """Every channel of every image with mean 0 and variance 1; a channel of one number is as it is."""
    return torch.nn.functional.instance_norm(h) if h[0, 0].numel() > 1 else h
