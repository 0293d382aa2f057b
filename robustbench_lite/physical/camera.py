"""A pinhole camera before a flat object: from distance and angle to the pixels of the crop that a classifier sees.

The object is a square of side `width` with its centre on the optical axis at distance D, turned by an angle a about the
vertical axis through its centre. Its point (u, v) stands at (u cos a, v, D + u sin a) and appears at

    (f u cos a / (D + u sin a),  f v / (D + u sin a))        frame pixels, f the focal length in pixels,

so seen from the front it is f width / D pixels wide, and from far away narrower by cos a. Four corners fix the
homography. The frame is cropped to a square around the object's image, `margin` times its larger side, and resampled to
`size` pixels. One frame pixel is then z = size / (side of the crop) pixels of the crop. Optics and sensor blur with

    sigma = z sqrt(blur^2 + 1/12)        pixels of the crop,

`blur` in frame pixels and 1/12 the variance of a sensor pixel's square: the farther, the blurrier. Each pixel of the
crop is the mean of `OVER` x `OVER` points (near objects are scaled down without aliasing). Exposure multiplies by a
gain, and the sensor clips at 0 and 1. All of it but the clipping is linear in the colours of the object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.threat.rows import per_row

__all__ = ["OVER", "STATIONARY", "Camera", "Placement", "Pose", "approach", "photograph"]

OVER = 4  # points per pixel of the crop and direction
# distance (feet) and angle (degrees) of the stationary test, 15 poses (Eykholt et al., https://arxiv.org/abs/1707.08945)
STATIONARY = (
    *((5.0, angle) for angle in (0.0, 15.0, 30.0, 45.0, 60.0)),
    *((10.0, angle) for angle in (0.0, 15.0, 30.0)),
    *((distance, angle) for distance in (15.0, 20.0) for angle in (0.0, 15.0)),
    *((distance, 0.0) for distance in (25.0, 30.0, 40.0)),
)


@dataclass
class Pose:
    """Where the camera stands, per row (n,): feet, degrees; exposure; and how the crop was made."""

    distance: torch.Tensor
    angle: torch.Tensor
    gain: torch.Tensor
    across: torch.Tensor  # centre of the crop, as a fraction of its side off the object's centre
    down: torch.Tensor
    zoom: torch.Tensor  # factor of the crop's side

    @classmethod
    def at(cls, distance: torch.Tensor, angle: torch.Tensor) -> Pose:
        """Exposed and cropped as it should be."""
        zero, one = torch.zeros_like(distance), torch.ones_like(distance)
        return cls(distance, angle, one, zero, zero, one)


@dataclass
class Placement:
    """How the object's texture gets into n crops: where its pixels go, in OVER-times finer pixels, blur and light."""

    homography: torch.Tensor  # (n, 3, 3), texture pixels to fine pixels
    sigma: torch.Tensor  # (n,) fine pixels
    gain: torch.Tensor  # (n,)

    def __len__(self) -> int:
        return len(self.gain)

    def to(self, like: torch.Tensor) -> Placement:
        """The same on the device and in the precision of `like`."""
        return Placement(*(part.to(like) for part in (self.homography, self.sigma, self.gain)))


@dataclass(frozen=True)
class Camera:
    """What does not change between shots; lengths in feet, `focal` and `blur` in pixels of the frame."""

    size: int = 32
    focal: float = 1000.0
    width: float = 2.5
    margin: float = 1.2
    blur: float = 0.7

    def corners(self, pose: Pose) -> torch.Tensor:
        """Where the object's corners appear (n, 4, 2), frame pixels off the axis, clockwise from the upper left."""
        u = self.width / 2 * pose.distance.new_tensor([-1, 1, 1, -1])
        v = self.width / 2 * pose.distance.new_tensor([-1, -1, 1, 1])
        angle = pose.angle[:, None].deg2rad()
        depth = pose.distance[:, None] + u * angle.sin()
        return self.focal / depth[..., None] * torch.stack([u * angle.cos(), v.expand_as(depth)], 2)

    def places(self, pose: Pose, side: int) -> Placement:
        """Placement (n) of an object whose texture has `side` x `side` pixels lies in crops from n poses."""
        seen = self.corners(pose)
        low, high = seen.amin(1), seen.amax(1)
        crop = self.margin * pose.zoom * (high - low).amax(1)  # (n,) frame pixels
        middle = (low + high) / 2 + torch.stack([pose.across, pose.down], 1) * crop[:, None]
        fine = self.size * OVER
        target = ((seen - middle[:, None]) / crop[:, None, None] + 0.5) * (fine - 1)
        sigma = math.sqrt(self.blur**2 + 1 / 12) * fine / crop
        return Placement(to_corners(target, side), sigma, pose.gain)


def to_corners(target: torch.Tensor, side: int) -> torch.Tensor:
    """Homographies (n, 3, 3) that take the corner pixels of a square texture to the points target (n, 4, 2)."""
    end = float(side - 1)
    square = target.new_tensor([[0, 0], [end, 0], [end, end], [0, end]])
    matrix: torch.Tensor = kornia.geometry.transform.get_perspective_transform(square.expand_as(target), target)
    return matrix


def photograph(layer: torch.Tensor, placed: Placement, size: int) -> torch.Tensor:
    """Crops (n, C, size, size) of one layer (C, S, S); zero where the object is not, no clipping: linear in it."""
    fine = size * OVER
    seen = kornia.geometry.transform.warp_perspective(
        layer.expand(len(placed), -1, -1, -1), placed.homography, (fine, fine), align_corners=True
    )
    lens = _lenses(placed.sigma, size)[:, None]
    return lens @ seen @ lens.mT * per_row(placed.gain, seen)


def _lenses(sigma: torch.Tensor, size: int) -> torch.Tensor:
    """Matrices (n, size, size * OVER): a Gaussian blur along one side, then means of OVER pixels; dark outside.

    One product for both: a convolution with another kernel in every row of the batch takes several times as long.
    """
    sigma, pixel = sigma[:, None].clamp_min(1e-3), torch.arange(size * OVER, device=sigma.device)
    weight = torch.exp(-0.5 * (torch.arange(size * OVER, device=sigma.device) / sigma) ** 2)  # (n, distance)
    weight = weight / (2 * weight.sum(1, keepdim=True) - weight[:, :1])
    blur = weight[:, (pixel[:, None] - pixel).abs()]
    return blur.reshape(len(sigma), size, OVER, -1).mean(2)


def approach(
    start: float, stop: float, speed: float, aside: float, every: int, rate: float = 30.0
) -> list[tuple[int, float, float]]:
    """(frame, distance, angle) of every k-th frame of a drive past the object, in feet and feet per second.

    The object stands `aside` of the line that the camera moves on and faces down the road: its angle is what the
    camera turns to keep it in the middle.
    """
    frames = int((start - stop) / speed * rate) + 1
    out = []
    for frame in range(0, frames, every):
        along = start - frame * speed / rate
        out.append((frame, math.hypot(along, aside), math.degrees(math.atan2(aside, along))))
    return out
