"""What the procedural objects look like: a colour for every point of their surface, the same in every run.

Each was chosen so that an ImageNet classifier knows it from most sides; docs/physical.md says how often it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from robustbench_lite.physical.mesh import Floats, Integers, Mesh, joined, texels, unit
from robustbench_lite.physical.shapes import SHAPES

__all__ = ["OBJECTS", "Thing", "made", "painted"]

Paint = Callable[[Sequence[str], Integers, Floats], Floats]  # patch names, their index, points -> colours (..., 3)


@dataclass(frozen=True)
class Thing:
    """A bundled object: its shape, how it is painted, and what ImageNet calls it."""

    shape: str
    paint: Paint
    label: int


def made(name: str) -> Mesh:
    """The mesh of a bundled object, inside the unit sphere."""
    return unit(joined([patch.mesh() for patch in SHAPES[OBJECTS[name].shape]()]))


def painted(name: str, side: int) -> npt.NDArray[np.uint8]:
    """The texture (3, side, side) of a bundled object."""
    patches = SHAPES[OBJECTS[name].shape]()
    colours = OBJECTS[name].paint([patch.name for patch in patches], *texels(patches, side))
    return np.ascontiguousarray((colours.clip(0, 1) * 255).round().astype(np.uint8).transpose(2, 0, 1))


# what paints are made of


def _rgb(red: int, green: int, blue: int) -> Floats:
    return np.array([red, green, blue]) / 255


def _mix(first: Floats, second: Floats, share: Floats) -> Floats:
    """From `first` at share 0 to `second` at 1; colours broadcast."""
    part = np.clip(share, 0, 1)[..., None]
    return first * (1 - part) + second * part


def _noise(points: Floats, scale: float, seed: int, octaves: int = 3) -> Floats:
    """Smooth noise of about unit size: waves in random directions, finer and weaker by octaves."""
    rng, total, power = np.random.default_rng(seed), np.zeros(points.shape[:-1]), 0.0
    for strength, _ in product(0.6 ** np.arange(octaves), range(6)):
        fineness = scale * 2 ** round(np.log(strength) / np.log(0.6))
        total += strength * np.sin(points @ (rng.normal(size=3) * fineness) + rng.uniform(0, 2 * np.pi))
        power += strength**2 / 2
    out: Floats = total / power**0.5 / 1.5
    return out


def _nearest(points: Floats, centres: Floats) -> tuple[Floats, Integers]:
    """Distances to the nearest and the next centre (..., 2), and which centre is the nearest (...)."""
    from scipy.spatial import KDTree  # a second of import

    distance, index = KDTree(centres).query(points, k=2)
    return distance, index[..., 0]


# balls


def _soccer_ball(names: Sequence[str], which: Integers, points: Floats) -> Floats:  # noqa: ARG001
    """Twelve black pentagons, drawn as caps about the corners of an icosahedron, with seams half-way between."""
    golden = (1 + 5**0.5) / 2
    corners = [c for a, b in product((-1, 1), (-golden, golden)) for c in ((0, a, b), (a, b, 0), (b, 0, a))]
    closeness = np.sort(points @ np.array(corners).T / (1 + golden**2) ** 0.5, -1)
    black = closeness[..., -1:] > 0.937
    seam = (closeness[..., -1:] - closeness[..., -2:-1] < 0.012) & ~black
    return np.where(black, _rgb(22, 22, 25), np.where(seam, _rgb(60, 60, 60), _rgb(238, 238, 235)))


def _seam(points: Floats) -> tuple[Floats, Integers]:
    """Distance (...) from the seam of a ball of two pieces, and where along it (...), in 1600 steps."""
    t = np.linspace(0, 4 * np.pi, 1600, endpoint=False)
    latitude, longitude = (np.pi / 2 - 0.4) * np.cos(t), t / 2 + 0.4 * np.sin(2 * t)
    across = np.cos(latitude)
    distance, place = _nearest(
        points, np.stack([np.sin(latitude), across * np.sin(longitude), across * np.cos(longitude)], 1)
    )
    return distance[..., 0], place


def _tennis_ball(names: Sequence[str], which: Integers, points: Floats) -> Floats:  # noqa: ARG001
    felt = _rgb(205, 225, 60) * (1 + 0.07 * _noise(points, 25, 1)[..., None])
    return _mix(felt, _rgb(240, 240, 230), (0.055 - _seam(points)[0]) / 0.01)


def _baseball(names: Sequence[str], which: Integers, points: Floats) -> Floats:  # noqa: ARG001
    distance, place = _seam(points)
    leather = _rgb(240, 236, 226) * (1 + 0.015 * _noise(points, 9, 1, 2)[..., None])
    stitch = (distance < 0.1) & (place % 20 < 8)
    stitched = np.where(stitch[..., None], _rgb(190, 25, 30), leather)
    return np.where((distance < 0.012)[..., None], _rgb(190, 175, 160), stitched)


# a crate

_ACROSS = {"front": (0, 1), "back": (0, 1), "left": (2, 1), "right": (2, 1), "top": (0, 2), "bottom": (0, 2)}


def _crate(names: Sequence[str], which: Integers, points: Floats) -> Floats:
    """Five slats on every side, nailed to two posts."""
    out = np.zeros(points.shape)
    for i, name in enumerate(names):
        out[which == i] = _side(points[which == i][:, _ACROSS[name]], i)
    return out


def _side(place: Floats, seed: int) -> Floats:
    """One side at (n, 2) in [-1, 1]."""
    a, b = place.T
    along, post_along = (
        _noise(np.stack([p * 1.5, q * 25, 0 * p + seed], 1), 1, number, 2)[:, None]
        for p, q, number in ((a, b, seed), (b, a, seed + 9))
    )
    number, within = np.divmod((b + 1) * 2.5, 1)
    wood = _rgb(205, 165, 110) * (1 + 0.1 * along) * (1 + 0.1 * np.sin(number * 7.3 + seed * 3)[:, None])
    out = np.where((np.minimum(within, 1 - within) < 0.09)[:, None], _rgb(30, 20, 12), wood)
    from_post = np.abs(np.abs(a) - 0.88)
    out = np.where((from_post < 0.12)[:, None], _rgb(190, 148, 95) * (1 + 0.12 * post_along), out)
    out = np.where((np.abs(np.abs(a) - 0.76) < 0.015)[:, None], _rgb(60, 40, 22), out)
    nail = (np.abs(within - 0.5) < 0.08) & (from_post < 0.03)
    return np.where(nail[:, None], _rgb(60, 55, 50), out)


# a turtle


def _turtle(names: Sequence[str], which: Integers, points: Floats) -> Floats:
    """A loggerhead: brown scutes above, paler ones below, skin of small scales with pale borders, eyes and a mouth."""
    mottle = _noise(points, 12, 5)
    out = _skin(points, mottle)
    shell, head = which == names.index("shell"), which == names.index("head")
    above, below = _scutes(points, mottle), _belly(points, mottle)
    carapace = np.where(points[..., 1:2] < -0.02, 0.7 * above + 0.3 * below, above)
    out = np.where(shell[..., None], carapace, out)
    x, y, z = np.moveaxis(points, -1, 0)
    eye = (np.abs(x) - 0.125) ** 2 + (y - 0.06) ** 2 + (z - 1.13) ** 2 < 0.045**2
    mouth = (np.abs(y + 0.035) < 0.012) & (z > 1.1)
    out = np.where((head & mouth)[..., None], _rgb(60, 50, 35), out)
    return np.where((head & eye)[..., None], _rgb(15, 12, 10), out)


def _skin(points: Floats, mottle: Floats) -> Floats:
    centres = np.random.default_rng(3).uniform([-1.4, -0.3, -1.2], [1.4, 0.3, 1.4], (6000, 3))
    distance, _ = _nearest(points, centres)
    scale = _rgb(105, 75, 45) * (1 + 0.2 * mottle[..., None])
    return _mix(_rgb(225, 205, 150), scale, (distance[..., 1] - distance[..., 0]) / 0.02)


def _scutes(points: Floats, mottle: Floats) -> Floats:
    """A row along the spine, one on either side, small ones along the rim; dark lines between."""
    around = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    centres = [(0.0, z) for z in (-0.62, -0.3, 0.02, 0.34, 0.64)]
    centres += [(x, z) for x in (-0.32, 0.32) for z in (-0.45, -0.14, 0.18, 0.48)]
    centres += [(0.58 * np.cos(t), 0.76 * np.sin(t)) for t in around]
    distance, _ = _nearest(points[..., [0, 2]], np.array(centres))
    shade = 0.25 + 3.2 * distance[..., 0] + 0.5 * mottle
    scute = _mix(_rgb(190, 140, 80), _rgb(110, 70, 35), shade)
    return _mix(_rgb(60, 40, 25), scute, (distance[..., 1] - distance[..., 0]) / 0.035)


def _belly(points: Floats, mottle: Floats) -> Floats:
    line = np.minimum(np.abs(points[..., 0]), np.abs((points[..., 2] * 3.2) % 1 - 0.5) / 3.2)
    return _mix(_rgb(150, 125, 80), _rgb(222, 205, 150) * (1 + 0.06 * mottle[..., None]), line / 0.02)


OBJECTS = {
    "soccer_ball": Thing("sphere", _soccer_ball, 805),
    "tennis_ball": Thing("sphere", _tennis_ball, 852),
    "baseball": Thing("sphere", _baseball, 429),
    "crate": Thing("cube", _crate, 519),
    "turtle": Thing("turtle", _turtle, 33),
}
