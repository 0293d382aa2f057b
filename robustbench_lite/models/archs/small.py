"""The small convolutional network of Wong and Kolter (https://arxiv.org/abs/1711.00851), much used in defences."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SmallCNN"]


class SmallCNN(nn.Module):
    """Two 4x4 convolutions of stride 2 (16 and 32 filters), 100 hidden units; images (N, C, 28, 28)."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits
