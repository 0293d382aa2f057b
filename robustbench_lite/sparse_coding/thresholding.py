"""Layered thresholding: the forward pass of a network whose weights are the atoms, its biases -thresholds.

https://arxiv.org/abs/1607.08194, algorithm 1: G_0 = Y, G_i = P(D_i^T G_{i-1}, threshold_i).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Union

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.model import Layers

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Kind", "Level", "cnn", "layered_thresholding", "threshold"]

Kind = Literal["hard", "soft", "relu"]
Level = Union[float, "torch.Tensor"]  # one for all atoms, or (m,)


def threshold(values: torch.Tensor, level: Level, kind: Kind) -> torch.Tensor:
    """Values (n, m, a, b) pulled to 0 by `level` (soft), the positive ones alone (relu), or kept if larger (hard)."""
    limit = torch.as_tensor(level, dtype=values.dtype, device=values.device).view(-1, 1, 1)
    if kind == "relu":
        return (values - limit).relu()
    above = values.abs() > limit
    return torch.where(above, values if kind == "hard" else values - limit * values.sign(), 0)


def layered_thresholding(
    layers: Layers, y: torch.Tensor, levels: Sequence[Level], kind: Kind = "relu"
) -> tuple[torch.Tensor, ...]:
    """The representations of signals y (n, C, H, W), from the first layer on."""
    codes = [y]
    for dictionary, level in zip(layers.dictionaries, levels, strict=True):
        codes.append(threshold(dictionary.correlate(codes[-1]), level, kind))
    return tuple(codes[1:])


def cnn(layers: Layers, levels: Sequence[Level]) -> nn.Sequential:
    """The network of torch that layered thresholding with `relu` is: convolution, bias, ReLU, for each layer."""
    modules: list[nn.Module] = []
    for dictionary, level in zip(layers.dictionaries, levels, strict=True):
        m, channels = dictionary.atoms.shape[:2]
        layer = torch.nn.Conv2d(channels, m, dictionary.extent, stride=dictionary.stride, dtype=dictionary.atoms.dtype)
        with torch.no_grad():
            layer.weight.copy_(dictionary.atoms)
            assert layer.bias is not None
            layer.bias.copy_(-torch.as_tensor(level, dtype=dictionary.atoms.dtype))
        modules += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules).requires_grad_(requires_grad=False)
