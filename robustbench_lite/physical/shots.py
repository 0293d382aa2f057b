"""One flat object in several photographs: what is needed to put a sticker on it in all of them.

A sticker changes the object's texture by delta (3, S, S); photograph i becomes clip(x_i + T_i(delta)) with T_i linear
(`photograph` in camera.py), the alignment function of Eykholt et al. (https://arxiv.org/abs/1707.08945).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from robustbench_lite.lazy import torch
from robustbench_lite.physical.camera import Camera, Placement, Pose, photograph
from robustbench_lite.physical.roadside import BACKGROUND_NUMBERS, background
from robustbench_lite.threat.box import clip
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.threat.setting import Setting

__all__ = ["Drawn", "Photographed", "Poses", "Shots", "paste"]

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Poses:
    """The distribution that a sticker is optimised over: uniform; feet, degrees, fractions of the crop."""

    distance: Bounds
    angle: Bounds
    gain: Bounds
    shift: float
    zoom: Bounds

    def draw(self, draw: Draw, number: torch.Tensor) -> Pose:
        """The poses with these numbers (n,); the draws have a row for each."""
        uniform = draw.uniform("pose", (6,), number)
        ranges = (self.distance, self.angle, self.gain, *2 * [(-self.shift, self.shift)], self.zoom)
        return Pose(*(low + (high - low) * uniform[:, i] for i, (low, high) in enumerate(ranges)))


def paste(x: torch.Tensor, delta: torch.Tensor, placed: Placement) -> torch.Tensor:
    """The photographs x (n, C, H, W) with the texture changed by delta (C, S, S); unchanged where that is zero."""
    return clip(x + photograph(delta, placed, x.shape[-1]))


@dataclass(frozen=True)
class Shots(Setting, ABC):
    """An object's colours, and how it lies in N photographs: `facts` say where each was taken from."""

    title: ClassVar[str] = "photographs of one object (a dataset with the source `sign:` or `photographs:`)"
    bracket: ClassVar[str] = "stickers"

    identity: str
    texture: torch.Tensor  # (3, S, S) in [0, 1]
    placed: Placement  # N rows
    facts: tuple[dict[str, Any], ...]

    @abstractmethod
    def training(self, poses: Poses, draw: Draw, number: torch.Tensor) -> tuple[torch.Tensor, Placement]:
        """Other photographs (n, 3, H, W), those with these numbers (n,), and how the object lies in them."""

    def content(self) -> dict[str, Any]:
        return {"scene": self.identity}

    def origins(self) -> tuple[dict[str, Any], ...]:
        return self.facts

    def pick(self, index: torch.Tensor) -> Self:
        """The photographs with these places (m,)."""
        return replace(self, placed=rows(self.placed, index), facts=tuple(self.facts[i] for i in index.tolist()))

    def to(self, device: torch.device) -> Self:
        return replace(self, texture=self.texture.to(device), placed=self.placed.to(self.texture.to(device)))


@dataclass(frozen=True)
class Drawn(Shots):
    """A drawing, photographed by the camera model wherever one likes; `alpha` (1, S, S) is 1 where the object is."""

    alpha: torch.Tensor
    camera: Camera

    def render(self, pose: Pose, scenery: torch.Tensor) -> tuple[torch.Tensor, Placement]:
        """Photographs (n, 3, H, W) before the sceneries that these uniform numbers (n, 80) describe."""
        placed = self.camera.places(pose, self.texture.shape[-1])
        size, alpha = self.camera.size, self.alpha.to(self.texture)
        seen = photograph(torch.cat([self.texture * alpha, alpha]), placed, size)
        behind = background(scenery, size) * per_row(pose.gain, seen)
        covered = seen[:, 3:] / per_row(pose.gain, seen)
        return clip(seen[:, :3] + (1 - covered) * behind), placed

    def training(self, poses: Poses, draw: Draw, number: torch.Tensor) -> tuple[torch.Tensor, Placement]:
        return self.render(poses.draw(draw, number), draw.uniform("scenery", (BACKGROUND_NUMBERS,), number))


@dataclass(frozen=True)
class Photographed(Shots):
    """Real photographs; a sticker may be optimised on those of `album` (M, 3, H, W), `album_placed` has M rows."""

    album: torch.Tensor
    album_placed: Placement

    def training(self, poses: Poses, draw: Draw, number: torch.Tensor) -> tuple[torch.Tensor, Placement]:
        """Any of the album's photographs in another light; poses are those of the photographs."""
        index = draw.integer("photograph", len(self.album), number)
        gain = poses.draw(draw, number).gain
        x = self.album.to(self.texture)[index]
        placed = rows(self.album_placed.to(self.texture), index)
        return clip(x * per_row(gain, x)), replace(placed, gain=placed.gain * gain)
