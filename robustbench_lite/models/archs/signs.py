"""The road sign classifiers of the graffiti paper (Eykholt et al., https://arxiv.org/abs/1707.08945)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GTSRBCNN", "LISACNN"]


class GTSRBCNN(nn.Module):
    """Learned colours, three blocks of two 3x3 convolutions (32, 64, 128); the dense layers see all three blocks.

    The paper's is Yadav's multi-scale network. Here each block is pooled to 4x4 and the dense layers are narrower:
    2 MB instead of 60. Images (N, C, H, W) of any small size.
    """

    def __init__(self, channels: int = 3, classes: int = 43) -> None:
        super().__init__()
        self.colours = nn.Conv2d(channels, 3, 1)
        self.blocks = nn.ModuleList(_block(inputs, width) for inputs, width in ((3, 32), (32, 64), (64, 128)))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(16 * (32 + 64 + 128), 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        x, scales = self.colours(x), []
        for block in self.blocks:
            x = block(x)
            scales.append(self.pool(x))
        logits: Tensor = self.head(torch.cat(scales, 1))
        return logits


def _block(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
    )


class LISACNN(nn.Module):
    """Convolutions 64 of 8x8 with stride 2, 128 of 6x6 with stride 2, 128 of 5x5, and a linear layer; (N, C, 32, 32).

    Cleverhans' basic network, the paper's LISA-CNN: the first convolution is padded to half the size, the others are
    not padded.
    """

    def __init__(self, channels: int = 3, classes: int = 17) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 8, 2, 3),
            nn.ReLU(),
            nn.Conv2d(64, 128, 6, 2),
            nn.ReLU(),
            nn.Conv2d(128, 128, 5),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.linear = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.features(x))
        return logits
