"""Bottleneck blocks of the deep residual GAN (https://arxiv.org/abs/1704.00028), as in the authors' code."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from robustbench_lite.generators.nets.layers import normalisation

__all__ = ["Block", "Scaled"]

Resample = Literal["up", "down"] | None


class Block(nn.Module):
    """shortcut + 0.3 norm(1x1 (3x3 (1x1))), each after a ReLU; half as many filters within."""

    def __init__(self, before: int, after: int, norm: Literal["batch", "layer"], resample: Resample = None) -> None:
        super().__init__()
        self.shortcut = _shortcut(before, after, resample)
        self.branch = nn.Sequential(
            nn.ReLU(), nn.Conv2d(before, before // 2, 1),
            nn.ReLU(), _middle(before // 2, after // 2, resample),
            nn.ReLU(), nn.Conv2d(after // 2, after, 1, bias=False),
            normalisation(norm, after),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + 0.3 * self.branch(x)  # type: ignore[no-any-return]


class Scaled(nn.Module):
    """A constant times what comes in."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def _shortcut(before: int, after: int, resample: Resample) -> nn.Module:
    if resample == "up":
        return nn.Sequential(nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2))
    if resample == "down":
        return nn.Conv2d(before, after, 1, stride=2)
    return nn.Identity() if before == after else nn.Conv2d(before, after, 1)


def _middle(before: int, after: int, resample: Resample) -> nn.Module:
    if resample == "up":
        return nn.ConvTranspose2d(before, after, 4, 2, 1)
    return nn.Conv2d(before, after, 4, 2, 1) if resample == "down" else nn.Conv2d(before, after, 3, padding=1)
