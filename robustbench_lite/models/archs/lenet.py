"""The small classifiers of the DeepFool paper: Caffe's LeNet, FC500-150-10, and Caffe's quick net for CIFAR-10."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FullyConnected", "LeNet", "LeNetCIFAR"]


class LeNet(nn.Module):
    """Two convolutions (20 and 50 filters, 5x5), each with 2x2 max pooling, 500 hidden units; images (N, C, 28, 28)."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class FullyConnected(nn.Module):
    """784-500-150-10 with ReLU; images (N, C, 28, 28)."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * 784, 500),
            nn.ReLU(),
            nn.Linear(500, 150),
            nn.ReLU(),
            nn.Linear(150, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


class LeNetCIFAR(nn.Module):
    """Three 5x5 convolutions (32, 32, 64 filters) with 3x3 pooling of stride 2, 64 hidden units; (N, C, 32, 32)."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.ReLU(),
            nn.Conv2d(32, 32, 5, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits
