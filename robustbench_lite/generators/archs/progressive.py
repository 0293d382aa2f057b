"""Progressive growing of GANs, https://arxiv.org/abs/1710.10196."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import Architecture, Norm, Size, architectures, image_side

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

    from robustbench_lite.generators.nets.growing import GrowingCritic, GrowingGenerator

__all__ = ["Progressive"]


@architectures.register("progressive")
class Progressive(Architecture):
    """Both networks begin at 4 x 4 pixels and grow: new layers fade in, between times of rest."""

    card: ClassVar[Card] = Card(
        title="Progressive growing",
        paper="Progressive Growing of GANs for Improved Quality, Stability, and Variation, Karras et al. 2018",
        arxiv="1710.10196",
        protocol="Equalised learning rate, pixel norm, minibatch standard deviation; train with wgan_gp, drift 0.001, "
        "Adam 1e-3 (0, 0.99), one step of the critic, a running mean of weights of 0.999.",
        deviations=("Each resolution and each fade takes the same share of the steps.",),
    )
    filters: PositiveInt = Field(32, description="At the image's side; twice as many at each halving.")
    most: PositiveInt = Field(512, description="Filters at any side.")
    growing: bool = Field(True, description="False: at full resolution from the first step on, to compare with.")

    def generator(self, size: Size) -> Module:
        from robustbench_lite.generators.nets.growing import GrowingGenerator

        return GrowingGenerator(self.latent, size[0], self._widths(size))

    def critic(self, size: Size, norm: Norm) -> Module:  # noqa: ARG002  (nothing is normalised)
        from robustbench_lite.generators.nets.growing import GrowingCritic

        return GrowingCritic(size[0], self._widths(size))

    def grow(self, net: Module, progress: float) -> None:
        cast("GrowingGenerator | GrowingCritic", net).grow(progress if self.growing else 1.0)

    def shown(self, critic: Module, real: torch.Tensor) -> torch.Tensor:
        return cast("GrowingCritic", critic).shown(real)

    def _widths(self, size: Size) -> list[int]:
        """Filters at 4, 8, ... pixels."""
        levels = image_side(size, self.registered).bit_length() - 2
        return [min(self.filters << (levels - 1 - i), self.most) for i in range(levels)]
