"""A small GoogLeNet for 28x28 and 32x32 images (after Szegedy et al., https://arxiv.org/abs/1409.4842)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GoogLeNet"]


def _conv(inputs: int, width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
    )


class Inception(nn.Module):
    """1x1, 3x3 and 5x5 convolutions behind 1x1 reductions, and a pooled 1x1; their outputs joined."""

    def __init__(self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.one = _conv(inputs, one, 1)
        self.three = nn.Sequential(_conv(inputs, three[0], 1), _conv(three[0], three[1], 3))
        self.five = nn.Sequential(_conv(inputs, five[0], 1), _conv(five[0], five[1], 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class GoogLeNet(nn.Module):
    """A 3x3 stem and four inception modules with pooling between them; global average pooling at the end."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, 32, 3),
            nn.MaxPool2d(2),
            Inception(32, 24, (24, 40), (8, 16), 16),  # 96
            Inception(96, 40, (32, 64), (12, 32), 24),  # 160
            nn.MaxPool2d(2),
            Inception(160, 64, (48, 96), (16, 32), 32),  # 224
            Inception(224, 80, (64, 128), (16, 32), 32),  # 272
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(272, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
