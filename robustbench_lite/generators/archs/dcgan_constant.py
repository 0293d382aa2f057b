"""A DCGAN whose generator has neither batch norm nor more filters deep inside, https://arxiv.org/abs/1704.00028."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import Size, architectures, image_side
from robustbench_lite.generators.archs.dcgan import DCGAN
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["DCGANConstant"]


@architectures.register("dcgan_constant")
class DCGANConstant(DCGAN):
    """No batch norm and a constant number of filters in the generator; DCGAN's critic."""

    card: ClassVar[Card] = Card(
        title="DCGAN, constant filters",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Second setting of figure 2; PyTorch's initial weights in the generator, as the authors' are He's.",
    )

    def generator(self, size: Size) -> Module:
        nn, width = torch.nn, self.filters
        parts: list[Module] = [nn.Linear(self.latent, width * 16), nn.Unflatten(1, (width, 4, 4)), nn.ReLU()]
        for _ in range(image_side(size, self.registered).bit_length() - 4):
            parts += [nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU()]
        return nn.Sequential(*parts, nn.ConvTranspose2d(width, size[0], 4, 2, 1), nn.Tanh())
