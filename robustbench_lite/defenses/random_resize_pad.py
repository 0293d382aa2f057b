"""Random resizing and padding, https://arxiv.org/abs/1711.01991."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.lazy import torch
from robustbench_lite.models.defense import Defense, defenses
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw, keys

__all__ = ["RandomResizePad"]


@defenses.register("random_resize_pad")
class RandomResizePad(Defense):
    """Shrink the image to a random size and put it in a random place on black: a perturbation meets other filters."""

    card: ClassVar[Card] = Card(
        title="Random resizing and padding",
        paper="Mitigating Adversarial Effects Through Randomization, Xie, Wang, Zhang, Ren, Yuille 2018",
        arxiv="1711.01991",
        protocol="Sides and places are uniform. The answer is the mean over the draws, and so is the gradient (EOT).",
        deviations=(
            "shrinks instead of growing (299 to 331 pixels in the paper), for networks that take one size",
            "resizes bilinearly, the authors' code to the nearest pixel",
            "the draws are the same for every image and every query, so that an answer can be had again",
        ),
    )
    least: Number = Field(0.85, gt=0, le=1, description="The smallest side, as a share of the image's.")
    times: PositiveInt = Field(10, description="Draws of which the answer is the mean.")

    @property
    def draws(self) -> int:
        return self.times

    @property
    def through(self) -> str:
        return f"gradients are those of the mean over its {self.times} draws"

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:
        draw, (height, width) = Draw(keys(0, self.registered, [str(number)])), x.shape[2:]
        share = self.least + (1 - self.least) * float(draw.uniform("share", ()))
        inner = (math.ceil(share * height), math.ceil(share * width))
        top, left = (int(draw.integer(axis, 1 + whole - part)) for axis, whole, part in _axes(x, inner))
        small = torch.nn.functional.interpolate(x, size=inner, mode="bilinear", align_corners=False, antialias=True)
        margins = (left, width - inner[1] - left, top, height - inner[0] - top)
        return torch.nn.functional.pad(small, margins)

    def stand_in(self, x: torch.Tensor, number: int) -> None:
        """It has a gradient of its own."""


def _axes(x: torch.Tensor, inner: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [("top", x.shape[2], inner[0]), ("left", x.shape[3], inner[1])]
