"""What stands between images in [0, 1] and a network in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Seen"]


class Seen(nn.Module):
    """Normalisation, and a resize to `side` pixels, in front of a network: what the adversary of a training attacks."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float], side: int | None = None) -> None:
        super().__init__()
        self.net, self.side = net, side
        self.train(net.training)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        if self.side is not None:
            x = nn.functional.interpolate(x, size=self.side, mode="bilinear", antialias=True)
        logits: Tensor = self.net(x.contiguous(memory_format=torch.channels_last))
        return logits
