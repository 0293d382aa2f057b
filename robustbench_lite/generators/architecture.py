"""A pair of networks, a generator of images from latents and a critic of images; one per file in `archs/`.

Generators map latents (n, latent) to images (n, C, H, W) in [-1, 1], or to points (n, d); critics map those to
scores (n,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import ModelError
from robustbench_lite.registry import Config, Records

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Architecture", "Norm", "Size", "architectures", "image_side"]

Size = tuple[int, ...]  # (channels, height, width) of images, (d,) of points
Norm = Literal["batch", "layer"]


class Architecture(Config, ABC):
    """A generator and a critic for images of a given size."""

    card: ClassVar[Card]
    latent: PositiveInt = Field(100, description="Numbers that a generated image is made of.")

    @abstractmethod
    def generator(self, size: Size) -> nn.Module:
        """A fresh generator. Raises ModelError for a size that it cannot have."""

    @abstractmethod
    def critic(self, size: Size, norm: Norm) -> nn.Module:
        """A fresh critic; `norm` is what it normalises with, if it does. Raises ModelError."""

    def grow(self, net: nn.Module, progress: float) -> None:
        """Make a network what it is after `progress` of a training, from 0 to 1; most stay as they are."""

    def shown(self, critic: nn.Module, real: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Real images as a critic of this size looks at them."""
        return real


architectures: Records[Architecture] = Records("generator architecture", "robustbench_lite.generators.archs")


def image_side(size: Size, name: str) -> int:
    """The side of square images, pixels. Raises ModelError unless it is a power of two, at least 8."""
    if len(size) != 3 or size[1] != size[2] or size[1] < 8 or size[1] & (size[1] - 1):
        raise ModelError(f"{name}: expected size [channels, side, side], side 8, 16, 32, ..., got {list(size)}")
    return size[1]
