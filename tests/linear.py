"""Classifiers that are linear in the image, around mid-grey: the radius is in closed form, the box never binds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, dual_size


@dataclass(frozen=True)
class Linear:
    """Images x (N, C, H, W), a classifier linear in them, and the exact radius (N,) of its nearest boundary."""

    name: str
    module: nn.Module
    x: torch.Tensor
    classes: int
    weight: torch.Tensor  # (K, D)

    def logits(self) -> torch.Tensor:
        return self.module(self.x).detach()

    def radius(self, goal: Goal, norm: Norm) -> torch.Tensor:
        """The exact distance (N,) to where the goal is reached, in the norm."""
        z, label = self.logits(), goal.label
        w = self.weight[None] - self.weight[label][:, None]  # (N, K, D)
        length = dual_size(w.flatten(0, 1), norm).view(len(z), -1)
        if goal.targeted:
            return ((z - z.gather(1, label[:, None])).clamp_min(0) / length.clamp_min(1e-12)).amax(1)
        gap = z.gather(1, label[:, None]) - z
        gap = gap.scatter(1, label[:, None], float("inf"))
        return (gap.clamp_min(0) / length.clamp_min(1e-12)).amin(1)


def problems(n: int = 24) -> list[Linear]:
    generator = torch.Generator().manual_seed(0)
    out = []
    for name, classes, scale, shape in (
        ("binary", 2, 1.0, (1, 4, 4)),
        ("binary, tiny logits", 2, 1e-3, (3, 3, 5)),
        ("binary, saturated", 2, 1e3, (1, 4, 4)),
        ("ten classes", 10, 30.0, (3, 4, 4)),
    ):
        weight = torch.randn((classes, shape[0] * shape[1] * shape[2]), generator=generator) * scale
        x = 0.5 + 0.05 * (torch.rand((n, *shape), generator=generator) - 0.5)
        bias = torch.full((classes,), -3.0 * scale)
        bias[[0, classes - 1]] = 0.0  # two classes matter, the last one among them
        layer = nn.Linear(weight.shape[1], classes)
        layer.weight.data, layer.bias.data = weight, bias - weight.sum(1) / 2
        module = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(requires_grad=False)
        out.append(Linear(name, module, x, classes, weight))
    return out
