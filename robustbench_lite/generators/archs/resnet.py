"""A deep residual GAN, https://arxiv.org/abs/1704.00028 (figure 2; 101 layers in the paper)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import ModelError
from robustbench_lite.generators.architecture import Architecture, Norm, Size, architectures, image_side
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["ResNet"]


@architectures.register("resnet")
class ResNet(Architecture):
    """Bottleneck blocks in both networks, some at each resolution, and one that changes it in between."""

    card: ClassVar[Card] = Card(
        title="Residual GAN",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Seventh setting of figure 2: depth 101 there.",
        deviations=("4x4 kernels where the resolution changes, in the place of 3x3.",),
    )
    filters: PositiveInt = Field(64, multiple_of=4, description="At half the image's side; twice at each halving.")
    depth: PositiveInt = Field(23, description="Convolutions one after another: 2 + 3 per block; 101 in the paper.")

    def generator(self, size: Size) -> Module:
        from robustbench_lite.generators.nets.residual import Block, Scaled

        nn, (widths, counts) = torch.nn, self._plan(size)
        widths, counts = widths[::-1], counts[::-1]
        parts: list[Module] = [nn.Linear(self.latent, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
        parts += [Block(widths[0], widths[0], "batch") for _ in range(counts[0])]
        for (before, after), count in zip(pairwise(widths), counts[1:], strict=True):
            parts += [Block(before, after, "batch", "up"), *(Block(after, after, "batch") for _ in range(count))]
        return nn.Sequential(*parts, nn.Conv2d(widths[-1], size[0], 1), Scaled(1 / 5), nn.Tanh())

    def critic(self, size: Size, norm: Norm) -> Module:
        from robustbench_lite.generators.nets.residual import Block, Scaled

        nn, (widths, counts) = torch.nn, self._plan(size)
        parts: list[Module] = [nn.Conv2d(size[0], widths[0], 1)]
        parts += [Block(widths[0], widths[0], norm) for _ in range(counts[0])]
        for (before, after), count in zip(pairwise(widths), counts[1:], strict=True):
            parts += [Block(before, after, norm, "down"), *(Block(after, after, norm) for _ in range(count))]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(widths[-1] * 16, 1), Scaled(1 / 5), nn.Flatten(0))

    def _plan(self, size: Size) -> tuple[list[int], list[int]]:
        """Filters and blocks that keep the resolution, at the image's side, at half of it, ..., at 4 pixels."""
        levels = image_side(size, self.registered).bit_length() - 2
        blocks, rest = divmod(self.depth - 2, 3)
        if rest or blocks < 2 * levels - 1:
            raise ModelError(
                f"{self.registered}: expected depth {6 * levels - 1}, {6 * levels + 2}, ... for images of side "
                f"{size[1]}, got {self.depth}"
            )
        each, more = divmod(blocks - (levels - 1), levels)
        return [self.filters // 2 << i for i in range(levels)], [each + (i >= levels - more) for i in range(levels)]
