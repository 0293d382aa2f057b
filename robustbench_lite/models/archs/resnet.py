"""Residual networks of depth 6n+2 for small images, identity shortcuts (He et al., https://arxiv.org/abs/1512.03385)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["ResNet", "resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]


class Block(nn.Module):
    """Two 3x3 convolutions; where the shape changes the shortcut subsamples and pads channels with zeros (option A)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.extra = stride, width - inputs

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.extra:
            half = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.extra - half))
        return F.relu(out + x)


class ResNet(nn.Module):
    """Three stages of `blocks` residual blocks with 16, 32 and 64 channels; images (N, C, H, W) of any small size."""

    def __init__(self, blocks: int, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(inputs, width, stride)
    return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))


resnet8 = partial(ResNet, 1)
resnet14 = partial(ResNet, 2)
resnet20 = partial(ResNet, 3)
resnet32 = partial(ResNet, 5)
resnet44 = partial(ResNet, 7)
resnet56 = partial(ResNet, 9)
resnet110 = partial(ResNet, 18)
