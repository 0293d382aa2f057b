"""Median smoothing, https://arxiv.org/abs/1704.01155."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from robustbench_lite.engine.card import Card
from robustbench_lite.lazy import kornia, torch
from robustbench_lite.models.defense import Defense, defenses

__all__ = ["Median"]


@defenses.register("median")
class Median(Defense):
    """Every pixel becomes the median of those around it: lone changes vanish."""

    card: ClassVar[Card] = Card(
        title="Median smoothing",
        paper="Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks, Xu, Evans, Qi 2018",
        arxiv="1704.01155",
        protocol="A square window, per channel, mirrored at the border. The gradient is that of the median pixel.",
    )
    size: Literal[3, 5, 7] = Field(3, description="Side of the window in pixels.")

    @property
    def through(self) -> str:
        return "gradients are its own"

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002
        return kornia.filters.median_blur(x, self.size)

    def stand_in(self, x: torch.Tensor, number: int) -> None:
        """It has a gradient of its own."""
