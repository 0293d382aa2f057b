"""Rotation, scale, translation, perspective: one resample each; what comes in from outside is stated."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.transforms.distribution import Operation, Range, drawn, operations, or_word, within
from robustbench_lite.transforms.warp import Fill, warp

__all__ = ["Affine", "Perspective", "Rotation", "Scale", "Translation"]


class Geometric(Operation):
    """Moves pixels."""

    fill: Annotated[Fill | Annotated[Range, within(0, 1)], or_word("zeros", "border", "reflection")] = Field(
        "zeros",
        description=(
            "What comes in from outside: zeros (black), border, reflection, or [low, high]: a plain background, one "
            "colour for each view, uniform in each channel."
        ),
    )

    @abstractmethod
    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        """The images x (n, C, H, W), resampled; the same draw moves every image of a size in the same way."""

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        if isinstance(self.fill, str):
            return self.move(x, draw, step, self.fill)
        background = drawn(self.fill, draw, "background", step, (x.shape[1], 1, 1)).to(x)
        inside = self.move(torch.ones_like(x[:, :1]), draw, step, "zeros")
        return self.move(x, draw, step, "zeros") + (1 - inside) * background


@operations.register("affine")
class Affine(Geometric):
    """Rotation, scale and translation in one resample; the defaults are those of Athalye et al.'s 2D experiment."""

    degrees: Number = Field(22.5, ge=0, le=180, description="Largest angle, either way.")
    scale: Annotated[Range, within(0.05, 20)] = Field((0.9, 1.4), description="Factor; above 1 enlarges.")
    translation: Annotated[Literal["in_bounds"] | Annotated[Number, Field(ge=0, le=1)], or_word("in_bounds")] = Field(
        "in_bounds",
        description=(
            "Largest shift along each axis, either way, as a part of the side; in_bounds: as far as the scaled image "
            "covers the frame (enlarged) or stays in it (shrunk), rotation aside."
        ),
    )

    @property
    def still(self) -> bool:
        return self.degrees == 0 and self.scale == (1, 1) and self.translation in {0, "in_bounds"}

    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        angle = drawn((-self.degrees, self.degrees), draw, "angle", step)
        scale = drawn(self.scale, draw, "scale", step)
        reach = (scale - 1).abs() / 2 if self.translation == "in_bounds" else float(self.translation)
        way = drawn((-1, 1), draw, "shift", step, (2,))
        return warp(x, angle, reach * x.shape[3] * way[:, 0], reach * x.shape[2] * way[:, 1], scale, fill=fill)


@operations.register("rotation")
class Rotation(Geometric):
    """Rotation about the centre."""

    degrees: Number = Field(22.5, ge=0, le=180, description="Largest angle, either way.")

    @property
    def still(self) -> bool:
        return self.degrees == 0

    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        angle = drawn((-self.degrees, self.degrees), draw, "angle", step)
        nothing = torch.zeros_like(angle)
        return warp(x, angle, nothing, nothing, fill=fill)


@operations.register("scale")
class Scale(Geometric):
    """Enlarging and shrinking about the centre."""

    factor: Annotated[Range, within(0.05, 20)] = Field((0.9, 1.4), description="Factor; above 1 enlarges.")

    @property
    def still(self) -> bool:
        return self.factor == (1, 1)

    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        factor = drawn(self.factor, draw, "scale", step)
        nothing = torch.zeros_like(factor)
        return warp(x, nothing, nothing, nothing, factor, fill=fill)


@operations.register("translation")
class Translation(Geometric):
    """Shifts along both axes."""

    share: Number = Field(0.1, ge=0, le=1, description="Largest shift along each axis, either way; part of the side.")

    @property
    def still(self) -> bool:
        return self.share == 0

    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        way = drawn((-self.share, self.share), draw, "shift", step, (2,))
        return warp(x, torch.zeros_like(way[:, 0]), x.shape[3] * way[:, 0], x.shape[2] * way[:, 1], fill=fill)


@operations.register("perspective")
class Perspective(Geometric):
    """A plane seen from somewhere else: each corner moves by itself."""

    distortion: Number = Field(
        0.2, ge=0, lt=0.5, description="How far a corner moves along each axis, either way; part of the side."
    )

    @property
    def still(self) -> bool:
        return self.distortion == 0

    def move(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int, fill: Fill) -> torch.Tensor:
        height, width = x.shape[2:]
        side = torch.tensor([width, height], dtype=torch.float64, device=x.device)
        unit = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64, device=x.device)
        corners = (unit * (side - 1)).expand(len(x), 4, 2)
        there = corners + side * drawn((-self.distortion, self.distortion), draw, "corners", step, (4, 2)).double()
        matrix = kornia.geometry.get_perspective_transform(corners, there)
        moved = kornia.geometry.warp_perspective(
            x.double(), matrix, (height, width), padding_mode=fill, align_corners=True
        )
        return moved.to(x.dtype)
