"""A small VGG for 28x28 and 32x32 images (after Simonyan, Zisserman, https://arxiv.org/abs/1409.1556)."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["VGG"]


class VGG(nn.Module):
    """Three stages of two 3x3 convolutions (32, 64, 128 filters, batch norm) and 2x2 max pooling; one hidden layer."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits
