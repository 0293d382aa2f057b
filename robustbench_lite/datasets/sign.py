"""A stop sign before a simulated camera (`sign: stop`), at the poses of Eykholt et al. (1707.08945)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from robustbench_lite.datasets.base import DataSource, Samples, datasets
from robustbench_lite.datasets.selection import chosen
from robustbench_lite.lazy import torch
from robustbench_lite.physical.camera import STATIONARY, Camera, Pose, approach
from robustbench_lite.physical.roadside import BACKGROUND_NUMBERS
from robustbench_lite.physical.shots import Drawn
from robustbench_lite.physical.sign import outline, stop_sign
from robustbench_lite.registry import Number, canonical
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.ids import content_id, pixel_ids

__all__ = ["CLASSES", "Sign"]

Grid = Literal["stationary", "approach"]
_STOP = 14
_NAMES = (
    "Speed limit 20|Speed limit 30|Speed limit 50|Speed limit 60|Speed limit 70|Speed limit 80|End of speed limit 80|"
    "Speed limit 100|Speed limit 120|No passing|No passing for trucks|Right-of-way at next intersection|Priority road|"
    "Yield|Stop|No vehicles|No trucks|No entry|General caution|Dangerous curve left|Dangerous curve right|Double curve|"
    "Bumpy road|Slippery road|Road narrows right|Road work|Traffic signals|Pedestrians|Children crossing|"
    "Bicycles crossing|Beware of ice|Wild animals crossing|End of all limits|Turn right ahead|Turn left ahead|"
    "Ahead only|Go straight or right|Go straight or left|Keep right|Keep left|Roundabout mandatory|End of no passing|"
    "End of no passing for trucks"
)
CLASSES = tuple(_NAMES.split("|"))  # of GTSRB


@datasets.register("sign")
class Sign(DataSource):
    """Photographs of one sign, each from another place; lengths in feet, as in the paper."""

    sign: Literal["stop"] = Field(description="Which sign: stop.")
    poses: tuple[Grid, ...] = Field(
        ("stationary",), description="From where: the 15 poses of the stationary test, frames of a drive towards it."
    )
    label: int = Field(_STOP, ge=0, description="Its class; 14 is Stop in GTSRB.")
    size: PositiveInt = Field(32, description="Side of the crops, pixels.")
    resolution: int = Field(128, ge=32, le=1024, description="Side of the sign's texture, pixels.")
    width: Number = Field(2.5, gt=0, description="Of the sign, feet.")
    focal: Number = Field(1000, gt=0, description="Focal length of the camera, pixels of the frame.")
    margin: Number = Field(1.2, ge=1, description="Side of the crop by the larger side of the sign in the frame.")
    blur: Number = Field(0.7, ge=0, description="Blur of the optics, standard deviation in pixels of the frame.")
    gain: Number = Field(1.0, gt=0, description="Exposure.")
    start: Number = Field(150, gt=0, description="The drive: where it starts, feet before the sign.")
    stop: Number = Field(12, gt=0, description="Where it ends.")
    aside: Number = Field(6, ge=0, description="How far the sign stands from the line of the drive.")
    speed: Number = Field(20, gt=0, description="Miles per hour, at 30 frames a second.")
    every: PositiveInt = Field(10, description="Every k-th frame of the drive.")

    @field_validator("poses", mode="before")
    @classmethod
    def _one_or_several(cls, poses: Any) -> Any:
        return (poses,) if isinstance(poses, str) else poses

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.poses or len(set(self.poses)) < len(self.poses):
            raise ValueError("poses: expected different grids, at least one")
        if self.stop >= self.start:
            raise ValueError(f"stop: expected less than the start of {self.start:g} feet, got {self.stop:g}")
        return self

    def load(self, root: Path) -> Samples:  # noqa: ARG002
        facts, places = self._facts(), self._places()
        pose = Pose.at(*torch.tensor(places).unbind(1))
        pose.gain *= self.gain
        side = self.resolution
        texture = torch.from_numpy(stop_sign(side).copy()).permute(2, 0, 1).float() / 255
        camera = Camera(self.size, self.focal, self.width, self.margin, self.blur)
        look = canonical([self.sign, self.resolution, self.size, self.focal, self.width, self.margin, self.blur])
        drawn = Drawn(content_id(look.encode()), texture, camera.places(pose, side), facts, _alpha(side), camera)
        scenery = Draw(keys(0, "scenery", [canonical(one) for one in facts]))
        x, _ = drawn.render(pose, scenery.uniform("scenery", (BACKGROUND_NUMBERS,)))
        images = (x * 255).round().to(torch.uint8).numpy()
        ids, labels = pixel_ids(images), np.full(len(images), self.label, np.int64)
        index = chosen(self, f"sign {self.sign}", ids, labels)
        picked = drawn.pick(torch.tensor(index))
        names = CLASSES if self.label == _STOP else ()
        return Samples(self.sign, tuple(ids[i] for i in index), images[index], labels[index], names, picked)

    def _facts(self) -> tuple[dict[str, Any], ...]:
        """Where each photograph was taken from."""
        still = [{"distance": d, "angle": a} for d, a in STATIONARY] if "stationary" in self.poses else []
        return (*still, *({"distance": round(d, 2), "angle": round(a, 2), "frame": n} for n, d, a in self._drive()))

    def _places(self) -> list[tuple[float, float]]:
        still = list(STATIONARY) if "stationary" in self.poses else []
        return [*still, *((d, a) for _, d, a in self._drive())]

    def _drive(self) -> list[tuple[int, float, float]]:
        if "approach" not in self.poses:
            return []
        return approach(self.start, self.stop, self.speed * 5280 / 3600, self.aside, self.every)


def _alpha(side: int) -> torch.Tensor:
    return torch.from_numpy(outline(side).copy())[None]
