"""What a figure shows, before anybody decides how it looks: panels with axes, galleries of pictures, keys and notes.

A figure says this once; `_page` makes SVG of it for the report, and `paper` matplotlib's PDF, PNG and SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures.svg import PALETTE

__all__ = [
    "DASHES",
    "Axis",
    "Drawing",
    "Gallery",
    "Key",
    "Line",
    "Mark",
    "Panel",
    "Panels",
    "Pixels",
    "Strip",
    "Tile",
    "keyed",
    "pixels_of",
]

DASHES = ((), (6.0, 2.0), (2.0, 2.0), (8.0, 2.0, 2.0, 2.0))  # in widths of the line: what tells lines apart in grey
TICKS = 4  # steps between the ticks of an axis of numbers

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (H, W, 3)
Values: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; ticks are places with what is written there."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, label: str, high: float, low: float = 0.0) -> Axis:
        """Even ticks, three digits each."""
        places = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
        return cls(
            label,
            low,
            high,
            tuple((place, f"{place:.3g}" if abs(place) < 1000 else f"{place:.0f}") for place in places),
        )

    @classmethod
    def shares(cls, label: str) -> Axis:
        """From 0 to 100 %, of numbers from 0 to 1."""
        return cls(label, 0.0, 1.0, tuple((i / TICKS, f"{100 * i // TICKS} %") for i in range(TICKS + 1)))


@dataclass(frozen=True)
class Line:
    """Values y (n,) at ascending x (n,), with an interval where there is one.

    `stairs`: each value holds from its x to the next, the last to the end of the axis; `marks`: only at its x.
    """

    name: str
    x: Values
    y: Values
    number: int  # which colour and dashes it has
    kind: Literal["line", "stairs", "marks"] = "line"
    low: Values | None = None
    high: Values | None = None

    @property
    def colour(self) -> str:
        return PALETTE[self.number % len(PALETTE)]

    @property
    def dashes(self) -> tuple[float, ...]:
        return DASHES[self.number % len(DASHES)]

    def until(self, end: float) -> tuple[Values, ...]:
        """x, y, low, high as they are drawn, as far as the axis goes: of stairs the corners."""
        kept = self.x <= end
        columns = [self.y if part is None else part for part in (self.y, self.low, self.high)]
        if self.kind != "stairs":
            return (self.x[kept], *(column[kept] for column in columns))
        edges = np.repeat(np.append(self.x[kept], end), 2)[1:-1]
        return (edges, *(np.repeat(column[kept], 2) for column in columns))


@dataclass(frozen=True)
class Mark:
    """A number in a circle at a place of a panel."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Panel:
    """Lines between two axes, or an image that fills the square between them, with marks on it."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    image: Pixels | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Panels:
    """Panels side by side, all with lines or all with images; `across`: the most in a row of a wide page."""

    panels: tuple[Panel, ...]
    across: int = 2


@dataclass(frozen=True)
class Tile:
    """A picture; `below`: lines of text; `frame`: the colour around it, if any."""

    pixels: Pixels
    says: str
    below: tuple[str, ...] = ()
    frame: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures in a row, and what they are."""

    name: str
    tiles: tuple[Tile, ...]

    @property
    def lines(self) -> int:
        """Of text below a picture, at most."""
        return max((len(tile.below) for tile in self.tiles), default=0)


@dataclass(frozen=True)
class Gallery:
    """Strips below each other; `above`: what stands over their columns; `side`: of the first picture, on a page."""

    heading: str
    strips: tuple[Strip, ...]
    above: tuple[str, ...] = ()
    side: int = 80  # pixels

    @property
    def across(self) -> int:
        return max(len(strip.tiles) for strip in self.strips)

    @property
    def lines(self) -> int:
        """Of text below a picture, at most."""
        return max(strip.lines for strip in self.strips)

    def part(self, start: int, stop: int) -> Gallery:
        """Some of its columns."""
        strips = tuple(Strip(strip.name, strip.tiles[start:stop]) for strip in self.strips)
        return Gallery(self.heading, strips, self.above[start:stop], self.side)


@dataclass(frozen=True)
class Key:
    """What a colour means: that of an area, of a frame, or of a line with its dashes."""

    text: str
    colour: str
    look: Literal["area", "frame", "line"] = "area"
    dashes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """A whole figure; `says`: what it shows, for those who cannot see it."""

    title: str
    says: str
    blocks: tuple[Panels | Gallery, ...]
    heading: str = ""
    keys: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()


def keyed(lines: Sequence[Line]) -> tuple[Key, ...]:
    """The keys of lines, each name once."""
    found = {line.name: Key(line.name, line.colour, "line", line.dashes) for line in lines}
    return tuple(found.values())


def pixels_of(image: npt.NDArray[Any]) -> Pixels:
    """(C, H, W) in 8 bits as (H, W, 3)."""
    colours = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    return np.ascontiguousarray(colours.transpose(1, 2, 0))
