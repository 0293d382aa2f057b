"""Brightness, contrast, gamma, hue, saturation: changes of every pixel by itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.transforms.distribution import Operation, Range, colour, drawn, operations, within

__all__ = ["Brightness", "Contrast", "Gamma", "Hue", "Saturation"]

_TOE = 1 / 255  # below, gamma is a straight line: the slope of a power is infinite at black


@operations.register("brightness")
class Brightness(Operation):
    """x * times + add: lighter and darker; per channel, a cast of light."""

    add: Annotated[Range, within(-1, 1)] = Field((-0.05, 0.05), description="What is added.")
    times: Annotated[Range, within(0, 10)] = Field((1, 1), description="Factor.")
    per_channel: bool = Field(default=False, description="Draw for each channel by itself.")

    @property
    def still(self) -> bool:
        return self.add == (0, 0) and self.times == (1, 1)

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        shape = (x.shape[1] if self.per_channel else 1, 1, 1)
        times, add = drawn(self.times, draw, "times", step, shape), drawn(self.add, draw, "add", step, shape)
        return x * times.to(x) + add.to(x)


@operations.register("contrast")
class Contrast(Operation):
    """Away from, or towards, the mean of the image's grey levels."""

    factor: Annotated[Range, within(0, 10)] = Field((0.7, 1.3), description="Factor; above 1: more contrast.")

    @property
    def still(self) -> bool:
        return self.factor == (1, 1)

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        factor = drawn(self.factor, draw, "factor", step, (1, 1, 1)).to(x)
        grey = kornia.color.rgb_to_grayscale(x) if x.shape[1] == 3 else x
        mean = grey.mean((1, 2, 3), keepdim=True)
        return mean + factor * (x - mean)


@operations.register("gamma")
class Gamma(Operation):
    """x to a power; below one grey level a straight line."""

    gamma: Annotated[Range, within(0.1, 10)] = Field((0.7, 1.4), description="Exponent; above 1 is darker.")

    @property
    def still(self) -> bool:
        return self.gamma == (1, 1)

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        gamma = drawn(self.gamma, draw, "gamma", step, (1, 1, 1)).to(x)
        return torch.where(x < _TOE, x * _TOE ** (gamma - 1), x.clamp_min(_TOE) ** gamma)


@operations.register("hue")
class Hue(Operation):
    """Turns the colours; kornia's HSV. Not differentiable where two channels are equal."""

    degrees: Number = Field(18, ge=0, le=180, description="Largest turn of the colour circle, either way.")

    @property
    def still(self) -> bool:
        return self.degrees == 0

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        turn = drawn((-self.degrees, self.degrees), draw, "turn", step).deg2rad().to(x)
        return kornia.enhance.adjust_hue(colour(self, x), turn)


@operations.register("saturation")
class Saturation(Operation):
    """Away from, or towards, each pixel's own grey level."""

    factor: Annotated[Range, within(0, 10)] = Field((0.7, 1.3), description="Factor; 0: grey.")

    @property
    def still(self) -> bool:
        return self.factor == (1, 1)

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        factor = drawn(self.factor, draw, "factor", step, (1, 1, 1)).to(x)
        grey = kornia.color.rgb_to_grayscale(colour(self, x))
        return grey + factor * (x - grey)
