"""Network in network (Lin, Chen, Yan, https://arxiv.org/abs/1312.4400) for 32x32 images."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["NIN"]


def _mlpconv(inputs: int, widths: tuple[int, int, int], kernel: int) -> list[nn.Module]:
    """A convolution and two 1x1 convolutions, each with ReLU."""
    layers: list[nn.Module] = []
    for width, size in zip(widths, (kernel, 1, 1), strict=True):
        layers += [nn.Conv2d(inputs, width, size, padding=size // 2), nn.ReLU()]
        inputs = width
    return layers


class NIN(nn.Module):
    """Three mlpconv blocks with pooling and dropout, global average pooling at the end; images (N, C, 32, 32)."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_mlpconv(channels, (192, 160, 96), 5),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(0.5),
            *_mlpconv(96, (192, 192, 192), 5),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Dropout(0.5),
            *_mlpconv(192, (192, 192, classes), 3)[:-1],
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
