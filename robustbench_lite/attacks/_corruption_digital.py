"""Digital corruptions: contrast, elastic transform, pixelate, JPEG, saturate."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.attacks._corruption_tools import Chance, Image, Strength

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["contrast", "elastic_transform", "jpeg_compression", "pixelate", "saturate"]


def contrast(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    """Each channel closer to its mean: what is left of the distance is c."""
    mean = x.mean((0, 1), keepdims=True)
    return np.asarray((x - mean) * c[0] + mean, np.float64)


def saturate(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    """Saturation of HSV c[0] times as large, and c[1] more; grey has the hue of red, an image of one channel none."""
    if x.shape[2] != 3:
        return x
    value, least = x.max(2, keepdims=True), x.min(2, keepdims=True)
    old = np.where(value > 0, (value - least) / np.where(value > 0, value, 1), 0)
    new = np.clip(old * c[0] + c[1], 0, 1)
    red = value * (1 - new * np.array([0, 1, 1]))
    return np.asarray(np.where(old > 0, value - (value - x) * new / np.where(old > 0, old, 1), red))


def pixelate(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    from PIL.Image import Resampling

    height, width = x.shape[:2]
    small = (max(1, int(width * c[0])), max(1, int(height * c[0])))
    return _opened(_picture(x).resize(small, Resampling.BOX).resize((width, height), Resampling.BOX))


def jpeg_compression(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    from PIL import Image as Pictures

    file = BytesIO()
    _picture(x).save(file, "JPEG", quality=int(c[0]))
    return _opened(Pictures.open(file))


def _picture(x: Image) -> Picture:
    from PIL import Image as Pictures

    levels = np.floor(255 * x + 0.5).astype(np.uint8)
    return Pictures.fromarray(levels[..., 0] if x.shape[2] == 1 else levels)


def _opened(picture: Picture) -> Image:
    levels = np.asarray(picture, np.float64) / 255
    return levels.reshape(*levels.shape[:2], -1)


def elastic_transform(x: Image, c: Strength, chance: Chance) -> Image:
    """A random affine map, then smooth random shifts; c: strength and sigma of those, and how far three points move.

    All three are parts of the shorter side.
    """
    from scipy.ndimage import gaussian_filter

    strength, sigma, reach = (part * min(x.shape[:2]) for part in c)
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in x.shape[:2]), indexing="ij")).astype(np.float64)
    x = _sampled(x, _affine(grid, x.shape[:2], reach, chance), "mirror")
    way = chance.uniform("shift", grid.shape, -1, 1)
    shift = [strength * gaussian_filter(one, sigma, mode="reflect", truncate=3) for one in way]
    return _sampled(x, grid + np.stack(shift), "reflect")


def _affine(grid: Image, sides: tuple[int, ...], reach: float, chance: Chance) -> Image:
    """Where each pixel of the grid (2, H, W) comes from, if three points are moved by up to `reach`."""
    middle, arm = np.array(sides) // 2, min(sides) // 3
    points = middle + arm * np.array([[1, 1], [1, -1], [-1, -1]])
    goals = points + chance.uniform("points", (3, 2), -reach, reach)
    ones = np.ones((3, 1))
    back = np.linalg.solve(np.hstack([goals, ones]), points)  # (3, 2): from a goal to its point
    return np.asarray(np.einsum("ihw,ij->jhw", np.concatenate([grid, np.ones_like(grid[:1])]), back))


def _sampled(x: Image, at: Image, mode: str) -> Image:
    """The image (H, W, C) at these rows and columns (2, H, W), linearly interpolated."""
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(x[..., i], at, order=1, mode=mode) for i in range(x.shape[2])], 2)
