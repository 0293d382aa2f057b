"""Engstrom et al.'s Figure 3: the loss of every classifier on rotations and translations of an image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from robustbench_lite.figures._losses import Losses
from robustbench_lite.figures._plane import Frame, Subject
from robustbench_lite.figures.base import Assets, figures
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.results.evaluation import through
from robustbench_lite.transforms.limits import PARAMETERS
from robustbench_lite.transforms.warp import Fill, warp

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["SpatialLandscape"]

Axis = Literal["angle", "dx", "dy"]
_UNITS = {"angle": "degrees", "dx": "pixels", "dy": "pixels"}
_CALLED = {"angle": "rotation", "dx": "shift to the right", "dy": "shift down"}


@figures.register("spatial_landscape")
class SpatialLandscape(Losses):
    """Cross-entropy of the true class over two of rotation, shift to the right and shift down, in nats."""

    title: ClassVar[str] = "Loss under rotations and translations"

    across: Axis = Field("angle", description="What grows to the right.")
    up: Axis = Field("dx", description="What grows upwards.")
    rotation: Number = Field(30, gt=0, le=180, description="Largest angle, degrees either way.")
    translation: Number = Field(3, gt=0, description="Largest shift, pixels either way.")
    fill: Fill = Field("zeros", description="What comes in from outside.")

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.across == self.up:
            raise ValueError(f"across and up are both {self.up}, expected two different parameters")
        return self

    def frame(self, results: Results, assets: Assets, subject: Subject) -> Frame:  # noqa: ARG002
        extent = self._reach(self.across), self._reach(self.up)
        u, v = (torch.from_numpy(part.ravel()) for part in np.meshgrid(*(self.steps(reach) for reach in extent)))
        values = {name: torch.zeros_like(u) for name in _UNITS} | {self.across: u, self.up: v}
        images = warp(subject.x.expand(len(u), -1, -1, -1), values["angle"], values["dx"], values["dy"], fill=self.fill)
        axes = [_CALLED[self.across], _CALLED[self.up]]
        units = f"{_UNITS[self.across]} across, {_UNITS[self.up]} up"
        return Frame(images, extent, axes, units, self._marks(results, subject))

    def _reach(self, axis: Axis) -> float:
        return self.rotation if axis == "angle" else self.translation

    def _marks(self, results: Results, subject: Subject) -> list[dict[str, Any]]:
        """Where the stored worst transforms of this image lie."""
        rows = results.sample_table.select(["cell", "sample", "transform"]).to_pylist()
        made = {row["cell"]: row["transform"] for row in rows if row["sample"] == subject.sample and row["transform"]}
        parts = {cell: json.loads(text) for cell, text in made.items() if cell in subject.cells}
        return [
            {
                "name": f"{subject.cells[cell]['variant']} against {through(subject.cells[cell])}",
                "u": found[self.across],
                "v": found[self.up],
                "on": subject.cells[cell]["models"],
                "off": ", ".join(f"{key} {found[key]:.1f}" for key in ("angle", "dx", "dy") if key not in self._axes),
            }
            for cell, found in parts.items()
            if set(PARAMETERS) <= found.keys()
        ]

    @property
    def _axes(self) -> tuple[Axis, Axis]:
        return self.across, self.up
