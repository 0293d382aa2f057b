"""Layers, and how DCGAN's are initialised."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Gated", "Maxout", "UnitSigmoid", "initialise", "normalisation", "uniform"]


class Gated(nn.Module):
    """sigmoid(a) * tanh(b), a and b the even and the odd channels: half as many come out."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x[:, ::2]) * torch.tanh(x[:, 1::2])


def normalisation(kind: Literal["batch", "layer"], channels: int) -> nn.Module:
    """Over the batch and places, or over channels and places of each image; a scale per channel."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(1, channels)


def initialise(net: nn.Module, std: float = 0.02) -> nn.Module:
    """Weights N(0, std), scales of norms N(1, std), biases 0, as in DCGAN's section 4."""
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, std)
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(part.weight, 1.0, std)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    return net


class UnitSigmoid(nn.Module):
    """A sigmoid, stretched from [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) - 1


class Maxout(nn.Module):
    """(n, before) to (n, units), each the largest of a few linear functions."""

    def __init__(self, before: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(before, units * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)  # type: ignore[no-any-return]


def uniform(net: nn.Module, bound: float) -> nn.Module:
    """Weights U(-bound, bound), biases 0."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            nn.init.uniform_(part.weight, -bound, bound)
            nn.init.zeros_(part.bias)
    return net
