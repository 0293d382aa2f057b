"""Objects made by procedure: what each is put together from. `paints.py` says what they look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robustbench_lite.physical.mesh import Floats, Patch

__all__ = ["SHAPES", "cube", "sphere", "turtle"]

Box = tuple[float, float, float, float]
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def _ball(s: Floats, t: Floats) -> Floats:
    """The unit sphere: longitude s from the front round to the right, latitude t from the south pole up."""
    longitude, latitude = 2 * np.pi * (s - 0.5), np.pi * (t - 0.5)
    return np.stack([np.sin(longitude) * np.cos(latitude), np.sin(latitude), np.cos(longitude) * np.cos(latitude)], -1)


def sphere() -> list[Patch]:
    """A ball of radius 1 in one patch."""
    return [Patch("ball", _ball, _WHOLE, 48, 24)]


def cube() -> list[Patch]:
    """A cube of side 2, six patches in three columns and two rows of the texture."""
    out = []
    for i, (name, right, up) in enumerate(_SIDES):
        column, row = i % 3, i // 3
        box = (column / 3, row / 2, (column + 1) / 3, (row + 1) / 2)
        out.append(Patch(name, _flat(np.array(right, float), np.array(up, float)), box, 1, 1))
    return out


_SIDES = (
    ("front", (1, 0, 0), (0, 1, 0)),
    ("right", (0, 0, -1), (0, 1, 0)),
    ("back", (-1, 0, 0), (0, 1, 0)),
    ("left", (0, 0, 1), (0, 1, 0)),
    ("top", (1, 0, 0), (0, 0, -1)),
    ("bottom", (1, 0, 0), (0, 0, 1)),
)


def _flat(right: Floats, up: Floats) -> Callable[[Floats, Floats], Floats]:
    out = np.cross(right, up)
    return lambda s, t: out + (2 * s - 1)[..., None] * right + (2 * t - 1)[..., None] * up


def turtle() -> list[Patch]:
    """A sea turtle, head towards +z: a domed shell, a flat belly, head, four flippers, tail, each its own patch."""
    return [
        Patch("shell", _shell, (0.0, 0.42, 1.0, 1.0), 40, 24),
        Patch("head", _limb((0.0, 0.03, 1.02), (0.17, 0.15, 0.27)), (0.0, 0.0, 0.34, 0.42), 16, 12),
        Patch("front left", _limb((-0.8, -0.03, 0.42), (0.5, 0.06, 0.18), 32, 0.25), (0.34, 0.21, 0.6, 0.42), 16, 10),
        Patch("front right", _limb((0.8, -0.03, 0.42), (0.5, 0.06, 0.18), -32, 0.25), (0.6, 0.21, 0.86, 0.42), 16, 10),
        Patch("back left", _limb((-0.5, -0.05, -0.78), (0.28, 0.06, 0.14), -40), (0.34, 0.0, 0.6, 0.21), 12, 8),
        Patch("back right", _limb((0.5, -0.05, -0.78), (0.28, 0.06, 0.14), 40), (0.6, 0.0, 0.86, 0.21), 12, 8),
        Patch("tail", _limb((0.0, -0.04, -0.86), (0.06, 0.04, 0.16)), (0.86, 0.0, 1.0, 0.42), 8, 8),
    ]


def _shell(s: Floats, t: Floats) -> Floats:
    """Domed above, flat below, narrower behind."""
    points = _ball(s, t) * [0.62, 0.34, 0.8]
    points[..., 1] *= np.where(points[..., 1] < 0, 0.4, 1)
    points[..., 0] *= 1 - 0.18 * np.clip(-points[..., 2] / 0.8, 0, 1) ** 2
    return points


def _limb(
    centre: tuple[float, float, float], radii: tuple[float, float, float], turn: float = 0.0, bend: float = 0.0
) -> Callable[[Floats, Floats], Floats]:
    """An ellipsoid about `centre`, turned by `turn` degrees about the vertical, bent backwards towards its tips."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    about = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    def at(a: Floats, b: Floats) -> Floats:
        points = _ball(a, b) * radii
        points[..., 2] -= bend * points[..., 0] ** 2
        out: Floats = points @ about.T + centre
        return out

    return at


SHAPES: dict[str, Callable[[], list[Patch]]] = {"sphere": sphere, "cube": cube, "turtle": turtle}
