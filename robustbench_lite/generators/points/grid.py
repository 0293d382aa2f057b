"""Modes on a square grid, as in https://arxiv.org/abs/1704.00028 (figure 1) and https://arxiv.org/abs/1705.07761."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from robustbench_lite.generators.mixture import Mixture, mixtures
from robustbench_lite.lazy import torch

__all__ = ["Grid"]


@mixtures.register("grid")
class Grid(Mixture):
    """Modes on a square grid around 0."""

    side: PositiveInt = Field(5, description="Modes along either axis.")
    spacing: PositiveFloat = Field(2.0, description="Between neighbours.")
    std: PositiveFloat = Field(0.05, description="Standard deviation of each mode, along either axis.")

    def centres(self) -> torch.Tensor:
        along = self.spacing * (torch.arange(self.side, dtype=torch.float32) - (self.side - 1) / 2)
        return torch.cartesian_prod(along, along)
