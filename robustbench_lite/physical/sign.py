"""A stop sign as a drawing: an octagon, a white border, the word in strokes."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["face", "outline", "stop_sign"]

_RED, _WHITE = (170, 22, 32), (232, 232, 228)
_SMOOTH = 8  # drawn larger by this, then averaged

Mask = npt.NDArray[np.float32]


@cache
def stop_sign(side: int) -> npt.NDArray[np.uint8]:
    """The sign (side, side, 3) on a black square."""
    from PIL import Image, ImageDraw  # where it draws: whoever only names an attack does without

    big = side * _SMOOTH
    image = Image.new("RGB", (big, big))
    draw = ImageDraw.Draw(image)
    draw.polygon(_octagon(big, 0), fill=_WHITE)
    draw.polygon(_octagon(big, 0.035), fill=_RED)
    for strokes in _WORD:
        for stroke in strokes:
            points = [((x * 0.175 + 0.15) * big, (y * 0.32 + 0.34) * big) for x, y in stroke]
            draw.line(points, fill=_WHITE, width=round(0.052 * big))
            for x, y in points:
                draw.circle((x, y), 0.026 * big, fill=_WHITE)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


@cache
def outline(side: int) -> Mask:
    """1 inside the sign, (side, side); between 0 and 1 on its edge."""
    return _filled(side, 0)


@cache
def face(side: int) -> Mask:
    """1 on the red face, word included; the white border is left out."""
    return _filled(side, 0.035)


def _filled(side: int, inset: float) -> Mask:
    from PIL import Image, ImageDraw

    big = side * _SMOOTH
    image = Image.new("L", (big, big))
    ImageDraw.Draw(image).polygon(_octagon(big, inset), fill=255)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX)).astype(np.float32) / np.float32(255)


def _octagon(side: int, inset: float) -> list[tuple[float, float]]:
    radius = (0.5 - inset) / math.cos(math.pi / 8) * side
    turns = [(2 * k + 1) * math.pi / 8 for k in range(8)]
    return [(side / 2 + radius * math.cos(t), side / 2 + radius * math.sin(t)) for t in turns]


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> list[tuple[float, float]]:
    """Points of an ellipse between two angles in degrees, clockwise from the right."""
    turns = np.deg2rad(np.linspace(start, stop, 24))
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


_S = _arc(0.45, 0.27, 0.27, 0.2, -20, -180) + _arc(0.45, 0.27, 0.27, 0.22, 180, 90)[1:]
_WORD = (  # each letter in a box of one unit, strokes of points
    ([*_S, *_arc(0.45, 0.72, 0.27, 0.21, -90, 160)],),
    ([(1.12, 0.08), (1.8, 0.08)], [(1.46, 0.08), (1.46, 1.0)]),
    (_arc(2.45, 0.5, 0.29, 0.43, 0, 372),),
    ([(3.2, 1.0), (3.2, 0.08), *_arc(3.45, 0.33, 0.25, 0.25, -90, 90), (3.2, 0.58)],),
)
