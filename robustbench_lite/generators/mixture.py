"""Mixtures of round Gaussians in the plane, of which all is known: which modes a generator covers, and how well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pydantic import Field, PositiveFloat

from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Records

__all__ = ["Coverage", "Mixture", "mixtures"]


@dataclass(frozen=True)
class Coverage:
    """How many of the modes have a high-quality point, and the share of points that are of high quality."""

    covered: int
    modes: int
    high_quality: float


class Mixture(Config, ABC):
    """Gaussians of equal weight and size around some centres."""

    std: PositiveFloat = Field(description="Standard deviation of each mode, along either axis.")

    @abstractmethod
    def centres(self) -> torch.Tensor:
        """(modes, 2) float32."""

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Points (n, 2) of the mixture."""
        centres = self.centres()
        modes = torch.randint(len(centres), (n,), generator=generator)
        return centres[modes] + self.std * torch.randn(n, 2, generator=generator)

    def coverage(self, points: torch.Tensor) -> Coverage:
        """Of points (n, 2); high quality is within three standard deviations of a centre, as in VEEGAN (1705.07761)."""
        distances, nearest = torch.cdist(points.float().cpu(), self.centres()).min(1)
        good = distances <= 3 * self.std
        return Coverage(len(set(nearest[good].tolist())), len(self.centres()), float(good.float().mean()))


mixtures: Records[Mixture] = Records("mixture", "robustbench_lite.generators.points")
