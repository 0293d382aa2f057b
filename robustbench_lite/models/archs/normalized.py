"""A network with its normalisation in front, so that every attack works in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Normalized", "TwoClasses"]


class Normalized(nn.Module):
    """net((x - mean) / std) for images x (N, C, H, W) in [0, 1]; the identity when mean is 0 and std is 1.

    The images are float32; a network that is stored in another type gets them in that type, inside the graph.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.dtype = _only(net)
        self.identity = all(value == 0 for value in mean) and all(value == 1 for value in std)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net((x if self.identity else (x - self.mean) / self.std).to(self.dtype))
        return logits


def _only(net: nn.Module) -> torch.dtype:
    """What all floating-point parameters are stored in, where that is one type (`net.half()`); else float32."""
    dtypes = {parameter.dtype for parameter in net.parameters() if parameter.dtype.is_floating_point}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


class TwoClasses(nn.Module):
    """Logits (N, 2), 0 and z, of a network with one logit z, (N,) or (N, 1): sigmoid(z) is the probability of class 1.

    So a softmax over the two gives what the sigmoid gives, and z > 0 is class 1.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.net(x).reshape(len(x))
        return torch.stack([torch.zeros_like(z), z], 1)
