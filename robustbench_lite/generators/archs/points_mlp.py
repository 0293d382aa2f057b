"""Plain networks for points in the plane, as in https://arxiv.org/abs/1704.00028 (figure 1)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import ModelError
from robustbench_lite.generators.architecture import Architecture, Norm, Size, architectures
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PointsMLP"]


@architectures.register("points_mlp")
class PointsMLP(Architecture):
    """ReLU networks of equal width, for points and not for images; nothing is normalised."""

    card: ClassVar[Card] = Card(
        title="MLP for points",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Three hidden layers of 512 for 8 and 25 Gaussians (figure 1); 128 are enough here.",
    )
    latent: PositiveInt = Field(2, description="Numbers that a generated point is made of.")
    width: PositiveInt = Field(128, description="Of each hidden layer.")
    layers: PositiveInt = Field(3, description="Hidden layers of either network.")

    def generator(self, size: Size) -> nn.Module:
        return torch.nn.Sequential(*self._layers(self.latent, self._dimension(size)))

    def critic(self, size: Size, norm: Norm) -> nn.Module:  # noqa: ARG002  (nothing is normalised)
        return torch.nn.Sequential(*self._layers(self._dimension(size), 1), torch.nn.Flatten(0))

    def _dimension(self, size: Size) -> int:
        if len(size) != 1:
            raise ModelError(f"{self.registered}: expected size [dimension] of points, got {list(size)}")
        return size[0]

    def _layers(self, before: int, after: int) -> list[nn.Module]:
        widths = [before, *[self.width] * self.layers]
        hidden = [part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        return [*hidden, torch.nn.Linear(self.width, after)]
