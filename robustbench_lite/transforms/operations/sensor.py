"""Blur, noise, JPEG: what cameras and files do.

Sums over pixels are in float64: in float32 another batch size rounds them in another way.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import kornia, torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.rows import per_row
from robustbench_lite.transforms.distribution import Operation, Range, colour, drawn, operations, within

__all__ = ["JPEG", "Blur", "Noise"]


@operations.register("blur")
class Blur(Operation):
    """A Gaussian, out to three of its largest standard deviations; borders are reflected."""

    sigma: Annotated[Range, within(0, 30)] = Field((0, 1), description="Standard deviation, pixels.")

    @property
    def still(self) -> bool:
        return self.sigma[1] == 0

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        reach = math.ceil(3 * self.sigma[1])
        if reach >= min(x.shape[2:]):
            raise AttackError(f"blur: sigma up to {self.sigma[1]:g} needs images larger than {reach} pixels")
        sigma = drawn(self.sigma, draw, "sigma", step, (1,)).clamp_min(1e-3).double()
        return kornia.filters.gaussian_blur2d(x.double(), 2 * reach + 1, sigma.expand(-1, 2)).to(x.dtype)


@operations.register("noise")
class Noise(Operation):
    """Gaussian noise of a random strength, another in each pixel and channel."""

    std: Annotated[Range, within(0, 1)] = Field((0, 0.1), description="Standard deviation.")

    @property
    def still(self) -> bool:
        return self.std[1] == 0

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        std = drawn(self.std, draw, "std", step).to(x)
        return x + per_row(std, x) * draw.normal("noise", tuple(x.shape[1:]), step).to(x)


@operations.register("jpeg")
class JPEG(Operation):
    """JPEG whose rounding has a gradient (kornia's codec, after Shin and Song 2017); never leaves an image as it is."""

    quality: Annotated[Range, within(1, 100)] = Field((50, 95), description="Quality; 100 is the best.")

    @property
    def still(self) -> bool:
        return False

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        quality = drawn(self.quality, draw, "quality", step).double()
        return kornia.enhance.jpeg_codec_differentiable(colour(self, x).double(), quality).to(x.dtype)
