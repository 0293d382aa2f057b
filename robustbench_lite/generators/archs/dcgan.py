"""Deep convolutional GAN, https://arxiv.org/abs/1511.06434."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import Architecture, Norm, Size, architectures, image_side
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["DCGAN"]


@architectures.register("dcgan")
class DCGAN(Architecture):
    """Transposed convolutions and batch norm in the generator, strided convolutions in the critic, no pooling."""

    card: ClassVar[Card] = Card(
        title="DCGAN",
        paper="Unsupervised Representation Learning with Deep Convolutional GANs, Radford, Metz, Chintala 2016",
        arxiv="1511.06434",
        protocol="N(0, 0.02); no batch norm at the generator's output and the critic's input; LeakyReLU 0.2; "
        "4x4 kernels, as in the authors' Torch code.",
    )
    filters: PositiveInt = Field(64, description="At half the image's side; twice as many at each halving.")
    activation: ClassVar[Literal["relu", "tanh", "gated"]] = "relu"
    normalised: ClassVar[bool] = True

    def generator(self, size: Size) -> Module:
        nn, widths = torch.nn, self._widths(size)[::-1]
        parts: list[Module] = [nn.Linear(self.latent, self._gain * widths[0] * 16, bias=not self.normalised)]
        parts += [nn.Unflatten(1, (-1, 4, 4)), *self._between(widths[0], "batch", "generator")]
        for before, after in pairwise(widths):
            parts.append(nn.ConvTranspose2d(before, self._gain * after, 4, 2, 1, bias=not self.normalised))
            parts += self._between(after, "batch", "generator")
        return self._initialised([*parts, nn.ConvTranspose2d(widths[-1], size[0], 4, 2, 1), nn.Tanh()])

    def critic(self, size: Size, norm: Norm) -> Module:
        nn, widths = torch.nn, self._widths(size)
        parts: list[Module] = [nn.Conv2d(size[0], self._gain * widths[0], 4, 2, 1), *self._between(0, None, "critic")]
        for before, after in pairwise(widths):
            parts.append(nn.Conv2d(before, self._gain * after, 4, 2, 1, bias=not self.normalised))
            parts += self._between(after, norm, "critic")
        return self._initialised([*parts, nn.Flatten(), nn.Linear(widths[-1] * 16, 1), nn.Flatten(0)])

    @property
    def _gain(self) -> int:
        return 2 if self.activation == "gated" else 1

    def _widths(self, size: Size) -> list[int]:
        """Filters at half the side, at a quarter, ..., at 4 pixels."""
        return [self.filters << i for i in range(image_side(size, self.registered).bit_length() - 3)]

    def _between(self, width: int, norm: Norm | None, net: str) -> list[Module]:
        """What follows a convolution: a norm, where there is one, and the activation."""
        from robustbench_lite.generators.nets.layers import Gated, normalisation

        relu = torch.nn.ReLU() if net == "generator" else torch.nn.LeakyReLU(0.2)
        kinds: dict[str, Module] = {"relu": relu, "tanh": torch.nn.Tanh(), "gated": Gated()}
        normed = [normalisation(norm, self._gain * width)] if norm and self.normalised else []
        return [*normed, kinds[self.activation]]

    def _initialised(self, parts: list[Module]) -> Module:
        from robustbench_lite.generators.nets.layers import initialise

        return initialise(torch.nn.Sequential(*parts))
