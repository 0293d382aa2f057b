"""An object before a camera: random poses, light, background and sensor noise, after Athalye et al.'s 3D simulation.

The map from the screen to the texture is made once for a pose (rasterize.py); what the camera shows is then a bilinear
look-up, so that the gradient in the texture is exact:

    view = clip(seen * light * texture(uv) + (1 - seen) * background + noise)

The object fits a unit sphere about the origin, is rotated about it (uniformly, over all rotations), moved by `shift`
across, and looked at from `distance`; `field` is the camera's full angle of view. The light of a pixel with normal n is
1 - depth + depth * max(0, n.l), l uniform on the half sphere around the camera. Every number belongs to (sample, step):
the batch around it does not matter.

Memory: the maps of the last `SHOTS` poses are kept, 13 bytes a pixel: 84 MB at 224 x 224.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import radians, tan
from typing import TYPE_CHECKING, ClassVar

from robustbench_lite.lazy import torch
from robustbench_lite.physical.rasterize import rasterize
from robustbench_lite.threat.box import clip
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.rows import per_row
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from robustbench_lite.physical.mesh import Mesh

__all__ = ["SHOTS", "Pose", "Scene", "Shot", "lookup", "turned"]

SHOTS = 128
Range = tuple[float, float]
Vector = tuple[float, ...]


@dataclass(frozen=True)
class Pose:
    """One view's numbers: a quaternion (real part first), shift across and up, distance, light, background, noise."""

    rotation: Vector = (1.0, 0.0, 0.0, 0.0)
    shift: Vector = (0.0, 0.0)
    distance: float = 2.75
    light: Vector = (0.0, 0.0, 1.0)
    depth: float = 0.0
    background: Vector = (0.5, 0.5, 0.5)
    noise: float = 0.0


@dataclass(frozen=True)
class Shot:
    """What a pose fixes: where pixels look on the texture (H, W, 2), how bright and whether (H, W), the rest."""

    uv: torch.Tensor
    light: torch.Tensor
    seen: torch.Tensor
    background: torch.Tensor  # (3,)
    noise: float


def lookup(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Textures (n, C, T, T) at uv (n, H, W, 2), bilinear: (n, C, H, W). (0, 0) is the bottom left texel's centre."""
    grid = (2 * uv - 1) * uv.new_tensor([1.0, -1.0])
    return torch.nn.functional.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=True)


def turned(quaternion: Vector) -> torch.Tensor:
    """The rotation matrix (3, 3) of a quaternion of any length but 0; float64."""
    parts = torch.tensor(quaternion, dtype=torch.float64)
    w, x, y, z = (parts / parts.norm()).tolist()
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )


@dataclass(frozen=True, eq=False)
class Scene(Setting):
    """A mesh inside the unit sphere, and what its views are drawn from: screen (H, W), ranges, degrees."""

    title: ClassVar[str] = "an object (a dataset with the source `object:`)"
    bracket: ClassVar[str] = "textures"

    mesh: Mesh
    size: tuple[int, int] = (224, 224)
    distance: Range = (2.5, 3.0)
    shift: float = 0.05
    field: float = 50.0
    background: Range = (0.1, 1.0)
    shading: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)

    @property
    def views(self) -> Scene:
        return self

    @property
    def screen(self) -> tuple[int, int, int]:
        return (3, *self.size)

    def see(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """Views (n, 3, H, W) of textures x (n, 3, T, T), each in the pose that `step`, (n,) or a number, draws."""
        steps = torch.as_tensor(step).expand(len(x)).tolist()
        shots = [_drawn(self, key, at, x.device) for key, at in zip(draw.key.tolist(), steps, strict=True)]
        shown = expose(x, shots)
        if self.noise[1] > 0:
            level = x.new_tensor([shot.noise for shot in shots])
            shown = shown + per_row(level, x) * draw.normal("noise", (3, *self.size), step).to(x.dtype)
        return clip(shown)

    def pose(self, draw: Draw, step: int) -> Pose:
        """The pose of one sample's step."""

        def between(name: str, low: float, high: float, count: int = 1) -> list[float]:
            values: list[float] = draw.uniform(name, (count,), step)[0].double().mul(high - low).add(low).tolist()
            return values

        light = draw.normal("light", (3,), step)[0].double()
        light = light / light.norm()
        return Pose(
            tuple(draw.normal("rotation", (4,), step)[0].tolist()),
            tuple(between("shift", -self.shift, self.shift, 2)),
            between("distance", *self.distance)[0],
            (*light[:2].tolist(), abs(float(light[2]))),
            between("shading", *self.shading)[0],
            tuple(between("background", *self.background, 3)),
            between("noise level", *self.noise)[0],
        )

    def shoot(self, pose: Pose, device: torch.device) -> Shot:
        """The map of a pose; no gradient."""
        place = torch.tensor([*pose.shift, -pose.distance], dtype=torch.float64)
        mesh, turn = self.mesh, turned(pose.rotation).T
        vertices, normals = torch.from_numpy(mesh.vertices) @ turn + place, torch.from_numpy(mesh.normals) @ turn
        faces, uv = torch.from_numpy(mesh.faces), torch.from_numpy(mesh.uv)
        parts = (vertices.to(device), faces.to(device), uv.to(device), normals.to(device))
        surface = rasterize(*parts, self.size, 1 / tan(radians(self.field / 2)))
        facing = (surface.normal @ torch.tensor(pose.light, dtype=torch.float64, device=device)).clamp_min(0)
        light = 1 - pose.depth * (1 - facing)
        background = torch.tensor(pose.background, device=device)
        return Shot(surface.uv.float(), light.float(), surface.seen, background, pose.noise)


def expose(x: torch.Tensor, shots: list[Shot]) -> torch.Tensor:
    """Textures x (n, 3, T, T), one for each shot, as the shots show them (n, 3, H, W): linear in x, before noise."""
    uv, light, seen, background = (
        torch.stack([getattr(shot, name) for shot in shots]).to(x.dtype)
        for name in ("uv", "light", "seen", "background")
    )
    return lookup(x, uv) * (seen * light)[:, None] + (1 - seen)[:, None] * background[:, :, None, None]


@lru_cache(SHOTS)
def _drawn(scene: Scene, key: int, step: int, device: torch.device) -> Shot:
    return scene.shoot(scene.pose(Draw(torch.tensor([key])), step), device)
