"""Networks that grow from 4 x 4 pixels, https://arxiv.org/abs/1710.10196.

`grown` says how far: 0 at 4 x 4, 1 at 8 x 8, ...; between whole numbers the next resolution fades in.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

__all__ = ["GrowingCritic", "GrowingGenerator", "MinibatchStd", "PixelNorm", "equalised", "faded", "grown_after"]


class PixelNorm(nn.Module):
    """Each pixel's features (n, C, ...) have a mean square of one."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class MinibatchStd(nn.Module):
    """One more map: the standard deviation within a group of up to four images, its mean over features and places."""

    def forward(self, x: Tensor) -> Tensor:
        groups = x.view(math.gcd(len(x), 4), -1, *x.shape[1:])
        std = (groups.var(0, correction=0) + 1e-8).sqrt().flatten(1).mean(1)  # (n / 4,)
        share = std.repeat(len(groups)).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, share], 1)


class _Equalised(nn.Module):
    """A layer whose weights are N(0, 1) and scaled as He's where they are used: Adam then moves all of them alike."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, gain: float) -> None:
        super().__init__()
        self.layer, self.scale = layer, gain / math.sqrt(layer.weight[0].numel())
        nn.init.normal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * self.scale)  # type: ignore[no-any-return]


def equalised(layer: nn.Conv2d | nn.Linear, gain: float = math.sqrt(2)) -> nn.Module:
    """The layer with an equalised learning rate."""
    return _Equalised(layer, gain)


def grown_after(progress: float, levels: int) -> float:
    """After `progress` of a training from 0 to 1: each resolution as long as each fade, in turn."""
    phase, part = divmod(min(progress, 1.0) * (2 * levels - 1), 1)
    level, fading = divmod(phase, 2)
    return min(level + fading * part, levels - 1.0)


def faded(images: Tensor, part: float) -> Tensor:
    """Images of which only `part` of the finest detail is there."""
    return images.lerp(interpolate(avg_pool2d(images, 2), scale_factor=2.0), 1 - part)


class _Growing(nn.Module):
    grown: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("grown", torch.tensor(levels - 1.0))

    def grow(self, progress: float) -> None:
        self.grown.fill_(grown_after(progress, self.levels))

    @property
    def level(self) -> tuple[int, float]:
        """The finest resolution that there is, and how much of it."""
        grown = float(self.grown)
        top = math.ceil(grown)
        return top, 1 - (top - grown)

    def shown(self, images: Tensor) -> Tensor:
        """Images of full size as this network has them."""
        top, part = self.level
        images = avg_pool2d(images, 1 << (self.levels - 1 - top))
        return images if part == 1 else faded(images, part)


def _conv(before: int, after: int, *, normed: bool) -> list[nn.Module]:
    layers = [equalised(nn.Conv2d(before, after, 3, padding=1)), nn.LeakyReLU(0.2)]
    return [*layers, PixelNorm()] if normed else layers


class GrowingGenerator(_Growing):
    """Latents (n, latent) to images of the side grown to; `widths` are the filters at 4, 8, ... pixels."""

    def __init__(self, latent: int, channels: int, widths: list[int]) -> None:
        super().__init__(len(widths))
        wide = widths[0]
        start = equalised(nn.Linear(latent, wide * 16), gain=math.sqrt(2) / 4)
        blocks = [[PixelNorm(), start, nn.Unflatten(1, (wide, 4, 4)), nn.LeakyReLU(0.2), PixelNorm()]]
        blocks[0] += _conv(wide, wide, normed=True)
        for before, after in pairwise(widths):
            more = [*_conv(before, after, normed=True), *_conv(after, after, normed=True)]
            blocks.append([nn.Upsample(scale_factor=2), *more])
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
        self.to_image = nn.ModuleList(equalised(nn.Conv2d(width, channels, 1), gain=1) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        top, part = self.level
        x = before = z
        for block in self.blocks[: top + 1]:
            x, before = block(x), x
        images: Tensor = self.to_image[top](x)
        if part == 1:
            return images
        return interpolate(self.to_image[top - 1](before), scale_factor=2.0).lerp(images, part)


class GrowingCritic(_Growing):
    """Images of the side grown to, to scores (n,); `widths` are the filters at 4, 8, ... pixels."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__(len(widths))
        wide = widths[0]
        last = [MinibatchStd(), *_conv(wide + 1, wide, normed=False), nn.Flatten()]
        last += [equalised(nn.Linear(wide * 16, wide)), nn.LeakyReLU(0.2), equalised(nn.Linear(wide, 1), 1)]
        blocks = [[*last, nn.Flatten(0)]]
        for after, before in pairwise(widths):
            more = [*_conv(before, before, normed=False), *_conv(before, after, normed=False)]
            blocks.append([*more, nn.AvgPool2d(2)])
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
        from_image = [[equalised(nn.Conv2d(channels, width, 1)), nn.LeakyReLU(0.2)] for width in widths]
        self.from_image = nn.ModuleList(nn.Sequential(*layers) for layers in from_image)

    def forward(self, images: Tensor) -> Tensor:
        top, part = self.level
        x: Tensor = self.from_image[top](images)
        if part < 1:
            coarse = self.from_image[top - 1](avg_pool2d(images, 2))
            x, top = coarse.lerp(self.blocks[top](x), part), top - 1
        for block in reversed(self.blocks[: top + 1]):
            x = block(x)
        return x
