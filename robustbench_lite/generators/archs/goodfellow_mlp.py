"""Generative adversarial nets, https://arxiv.org/abs/1406.2661: the networks for digits, as in the authors' code."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import Architecture, Norm, Size, architectures, image_side
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["GoodfellowMLP"]


@architectures.register("goodfellow_mlp")
class GoodfellowMLP(Architecture):
    """Two hidden layers of ReLU in the generator; maxout with dropout in the discriminator."""

    card: ClassVar[Card] = Card(
        title="Goodfellow's MLP",
        paper="Generative Adversarial Nets, Goodfellow et al. 2014",
        arxiv="1406.2661",
        protocol="1200 ReLU twice, uniform weights of 0.05; maxout 240 x 5 twice, uniform weights of 0.005, dropout "
        "0.2 of pixels and 0.5 of units.",
    )
    width: PositiveInt = Field(1200, description="ReLU units of each hidden layer of the generator.")
    units: PositiveInt = Field(240, description="Maxout units of each hidden layer of the discriminator.")
    pieces: PositiveInt = Field(5, description="Linear functions of which each takes the largest.")

    def generator(self, size: Size) -> Module:
        from robustbench_lite.generators.nets.layers import UnitSigmoid, uniform

        nn, _ = torch.nn, image_side(size, self.registered)
        hidden = [nn.Linear(self.latent, self.width), nn.ReLU(), nn.Linear(self.width, self.width), nn.ReLU()]
        net = nn.Sequential(*hidden, nn.Linear(self.width, prod(size)), UnitSigmoid(), nn.Unflatten(1, size))
        return uniform(net, 0.05)

    def critic(self, size: Size, norm: Norm) -> Module:  # noqa: ARG002  (nothing is normalised)
        from robustbench_lite.generators.nets.layers import Maxout, uniform

        nn, _ = torch.nn, image_side(size, self.registered)
        first = [nn.Flatten(), nn.Dropout(0.2), Maxout(prod(size), self.units, self.pieces)]
        second = [nn.Dropout(0.5), Maxout(self.units, self.units, self.pieces), nn.Dropout(0.5)]
        return uniform(nn.Sequential(*first, *second, nn.Linear(self.units, 1), nn.Flatten(0)), 0.005)
