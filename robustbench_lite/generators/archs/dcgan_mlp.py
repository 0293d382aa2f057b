"""A plain generator before DCGAN's critic, https://arxiv.org/abs/1704.00028."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import Size, architectures, image_side
from robustbench_lite.generators.archs.dcgan import DCGAN
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["DCGANMLP"]


@architectures.register("dcgan_mlp")
class DCGANMLP(DCGAN):
    """Four layers of ReLU in the generator and no convolution; DCGAN's critic."""

    card: ClassVar[Card] = Card(
        title="MLP before DCGAN's critic",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Third setting of figure 2: four layers of 512.",
    )
    width: PositiveInt = Field(512, description="Of each hidden layer of the generator.")

    def generator(self, size: Size) -> Module:
        nn = torch.nn
        image_side(size, self.registered)  # the critic's
        pairs = pairwise([self.latent, *[self.width] * 4])
        hidden = [part for before, after in pairs for part in (nn.Linear(before, after), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(self.width, prod(size)), nn.Tanh(), nn.Unflatten(1, size))
