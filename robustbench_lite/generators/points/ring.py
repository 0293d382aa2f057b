"""Modes on a circle, as in https://arxiv.org/abs/1611.02163 (section 3.1)."""

from __future__ import annotations

import math

from pydantic import Field, PositiveFloat, PositiveInt

from robustbench_lite.generators.mixture import Mixture, mixtures
from robustbench_lite.lazy import torch

__all__ = ["Ring"]


@mixtures.register("ring")
class Ring(Mixture):
    """Modes on a circle around 0."""

    modes: PositiveInt = Field(8, description="How many.")
    radius: PositiveFloat = Field(2.0, description="Of the circle.")
    std: PositiveFloat = Field(0.02, description="Standard deviation of each mode, along either axis.")

    def centres(self) -> torch.Tensor:
        angles = torch.arange(self.modes, dtype=torch.float64) * (2 * math.pi / self.modes)
        return (self.radius * torch.stack([angles.cos(), angles.sin()], 1)).float()
