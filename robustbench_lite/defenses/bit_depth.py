"""Reduced bit depth, https://arxiv.org/abs/1704.01155."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.lazy import torch
from robustbench_lite.models.defense import Defense, defenses

__all__ = ["BitDepth"]


@defenses.register("bit_depth")
class BitDepth(Defense):
    """Round every pixel to few levels: a change within half a level is gone. The gradient is zero everywhere."""

    card: ClassVar[Card] = Card(
        title="Reduced bit depth",
        paper="Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks, Xu, Evans, Qi 2018",
        arxiv="1704.01155",
        protocol="2^bits levels from 0 to 1, the nearest, half up; on MNIST the paper has 1 bit.",
    )
    bits: PositiveInt = Field(3, le=8, description="Bits per channel.")

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002
        most = 2**self.bits - 1
        levels: torch.Tensor = torch.floor(x.clamp(0, 1) * most + 0.5) / most
        return levels
