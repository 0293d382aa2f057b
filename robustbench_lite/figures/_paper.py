"""How `paper` lays a drawing out in inches: panels and galleries below each other, as many in a row as have room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from robustbench_lite.figures.drawing import Gallery, Key, Line, Panel, Panels, Strip, Tile
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

__all__ = ["EDGE", "LINE", "Keys", "Place", "folded", "laid"]

_LETTER = 0.056  # inches: width of one at 7 points
LINE = 0.125  # inches: height of a line of text
EDGE = 0.05
_RIGHT, _BELOW, _ABOVE = 0.1, 0.34, 0.17  # inches around the axes of a panel
_SMALL, _LEGIBLE, _LARGE = 0.3, 0.45, 0.8  # inches: sides of pictures without and with text below, and the largest
_TINY, _STEP = 0.041, 0.085  # inches: width of a letter of that text, and from line to line
_GAP = 0.03
_WIDE, _NARROW, _FEW = 2.2, 1.55, 3  # inches: of a panel with lines, and of one of more than so many
_LEAST_POINTS = 5.0  # size of a title


@dataclass
class Place:
    """A picture, and how far down from its top it is drawn already, in inches from below."""

    picture: Picture
    y: float

    def axes(self, x: float, width: float, height: float, down: float = 0.0) -> Axes:
        """Axes whose top is so far `down` from here, in inches."""
        wide, tall = self.picture.get_size_inches()
        return self.picture.add_axes((x / wide, (self.y - down - height) / tall, width / wide, height / tall))

    def write(self, text: str, x: float, down: float, **look: Any) -> None:
        wide, tall = self.picture.get_size_inches()
        self.picture.text(x / wide, (self.y - down) / tall, visible(text), va="top", **look)

    def text(self, lines: Sequence[str]) -> None:
        for i, line in enumerate(lines):
            self.write(line, EDGE, i * LINE)
        self.y -= LINE * len(lines)


def folded(texts: Sequence[str], width: float) -> list[str]:
    return [line for text in texts for line in wrap(visible(text), max(20, int((width - 2 * EDGE) / _LETTER)))]


def _short(text: str, width: float, letter: float = _LETTER) -> str:
    """No wider than that many inches."""
    most = max(2, int(width / letter))
    text = visible(text)
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True)
class PanelRows:
    """Panels, as many in a row as have room."""

    block: Panels
    width: float

    @property
    def lines(self) -> bool:
        return self.block.panels[0].image is None

    @property
    def across(self) -> int:
        least = 1.05 if not self.lines else _NARROW if len(self.block.panels) > _FEW else _WIDE
        return max(1, min(len(self.block.panels), int(self.width / least)))

    @property
    def left(self) -> float:
        """Inches for what is written beside the upward axis."""
        longest = max(len(text) for panel in self.block.panels for _, text in panel.y.ticks)
        return 0.14 + longest * 0.05 + (LINE if any(panel.y.label for panel in self.block.panels) else 0)

    @property
    def side(self) -> tuple[float, float]:
        """Width and height of the axes of one panel."""
        wide = (self.width - EDGE) / self.across - self.left - _RIGHT
        return (wide, 0.62 * wide) if self.lines else (wide, wide)

    @property
    def below(self) -> float:
        return _BELOW if any(panel.x.label for panel in self.block.panels) else _BELOW - LINE

    @property
    def height(self) -> float:
        rows = -(-len(self.block.panels) // self.across)
        return rows * (_ABOVE + self.side[1] + self.below)

    def draw(self, at: Place) -> None:
        wide, tall = self.side
        for start in range(0, len(self.block.panels), self.across):
            for i, panel in enumerate(self.block.panels[start : start + self.across]):
                x = self.left + i * (self.left + wide + _RIGHT)
                _panel(at.axes(x, wide, tall, _ABOVE), panel, wide)
            at.y -= _ABOVE + tall + self.below


def _panel(axes: Axes, panel: Panel, wide: float) -> None:
    if panel.title:
        size = min(7.0, max(_LEAST_POINTS, 7 * (wide + 0.1) / (0.056 * len(panel.title))))
        title = _short(panel.title, wide + 0.12, 0.056 * size / 7)
        axes.set_title(title, pad=3, loc="left", fontsize=size)
    ends = (panel.x.low, panel.x.high, panel.y.low, panel.y.high)
    if panel.image is not None:
        axes.imshow(panel.image, extent=ends, aspect="auto")
        axes.spines[:].set_visible(True)
    else:
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    for line in panel.lines:
        _line(axes, line, panel.x.high)
    for mark in reversed(panel.marks):  # the image itself above all
        box = {"boxstyle": "round,pad=0.15,rounding_size=0.6", "fc": "white", "ec": "black", "lw": 0.5}
        axes.text(mark.x, mark.y, visible(mark.text), ha="center", va="center", fontsize=4.5, bbox=box)
    axes.set_xlim(ends[:2])
    axes.set_ylim(ends[2:])
    axes.set_xticks([place for place, _ in panel.x.ticks], [visible(text) for _, text in panel.x.ticks])
    axes.set_yticks([place for place, _ in panel.y.ticks], [visible(text) for _, text in panel.y.ticks])
    axes.set_xlabel(visible(panel.x.label), labelpad=1)
    axes.set_ylabel(visible(panel.y.label), labelpad=1)


def _line(axes: Axes, line: Line, end: float) -> None:
    """The line in the band of its interval, or a mark with its interval at each value."""
    x, y, low, high = line.until(end)
    look: dict[str, Any] = {"color": line.colour, "label": visible(line.name)}
    if line.kind == "marks":
        axes.errorbar(x, y, yerr=[y - low, high - y], fmt="o", capsize=1.5, lw=0.8, clip_on=False, **look)
        return
    if line.low is not None:
        axes.fill_between(x, low, high, color=line.colour, alpha=0.15, lw=0)
    axes.plot(x, y, linestyle=_style(line.dashes), **look)


def _style(dashes: tuple[float, ...]) -> Any:
    return (0, dashes) if dashes else "solid"


@dataclass(frozen=True)
class Pictures:
    """A gallery, its columns in as many groups as it takes for the pictures to be seen."""

    block: Gallery
    width: float

    @property
    def left(self) -> float:
        longest = max(len(strip.name) for strip in self.block.strips)
        return EDGE + min(longest * _LETTER + 0.05, 0.3 * self.width) if longest else EDGE

    @property
    def across(self) -> int:
        longest = max((len(t) for strip in self.block.strips for tile in strip.tiles for t in tile.below), default=0)
        least = min(_LARGE, max(_LEGIBLE, longest * _TINY)) if self.block.lines else _SMALL
        most = max(1, int((self.width - self.left - EDGE + _GAP) / (least + _GAP)))
        groups = -(-self.block.across // most)
        return -(-self.block.across // groups)

    @property
    def side(self) -> tuple[float, float]:
        first = self.block.strips[0].tiles[0].pixels.shape
        wide = min((self.width - self.left - EDGE + _GAP) / self.across - _GAP, _LARGE)
        return wide, wide * first[0] / first[1]

    def step(self, strip: Strip) -> float:
        """From this strip to the next."""
        return self.side[1] + _GAP + strip.lines * _STEP + (0.02 if strip.lines else 0.0)

    @property
    def over(self) -> float:
        return LINE if any(self.block.above) else 0.0

    @property
    def parts(self) -> list[Gallery]:
        return [self.block.part(i, i + self.across) for i in range(0, self.block.across, self.across)]

    @property
    def height(self) -> float:
        shown = sum(self.step(strip) for part in self.parts for strip in part.strips if strip.tiles)
        heading = LINE + 0.03 if self.block.heading else 0.0
        return heading + shown + len(self.parts) * (self.over + 0.06)

    def draw(self, at: Place) -> None:
        if self.block.heading:
            at.write(_short(self.block.heading, self.width - 2 * EDGE), EDGE, 0.0)
            at.y -= LINE + 0.03
        wide, tall = self.side
        for part in self.parts:
            for i, text in enumerate(part.above):
                at.write(text, self.left + i * (wide + _GAP), 0.0, fontsize=5.5)
            at.y -= self.over
            for strip in part.strips:
                if strip.tiles:
                    self._name(at, strip.name)
                    for i, tile in enumerate(strip.tiles):
                        _tile(at, tile, self.left + i * (wide + _GAP), wide, tall)
                    at.y -= self.step(strip)
            at.y -= 0.06

    def _name(self, at: Place, name: str) -> None:
        """In as many lines as fit beside the pictures."""
        lines = wrap(visible(name).replace("(", " ("), max(4, int((self.left - EDGE) / _LETTER))) or [""]
        most = max(1, int(self.side[1] / LINE))
        lines = lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][:-1] + "…"]
        for i, line in enumerate(lines):
            at.write(line, EDGE, self.side[1] / 2 + (i - len(lines) / 2) * LINE)


def _tile(at: Place, tile: Tile, x: float, wide: float, tall: float) -> None:
    axes = at.axes(x, wide, tall)
    axes.imshow(tile.pixels, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=bool(tile.frame), color=tile.frame or "black", linewidth=1.2)
    for i, text in enumerate(tile.below):
        look = {"fontsize": 5, "color": "#555555" if i else "black"}
        at.write(_short(text, wide + _GAP, _TINY), x, tall + 0.025 + _STEP * i, **look)


@dataclass(frozen=True)
class Keys:
    """What colours mean, in columns."""

    keys: tuple[Key, ...]
    across: int
    step: float

    @classmethod
    def of(cls, keys: tuple[Key, ...], width: float) -> Keys:
        step = min(width - 2 * EDGE, 0.36 + max((len(key.text) for key in keys), default=0) * 0.058)
        return cls(keys, max(1, int((width - 2 * EDGE) / step)), step)

    @property
    def height(self) -> float:
        return -(-len(self.keys) // self.across) * LINE + (0.06 if self.keys else 0.0)

    def draw(self, at: Place) -> None:
        for i, key in enumerate(self.keys):
            x, down = EDGE + i % self.across * self.step, 0.03 + i // self.across * LINE
            _swatch(at.axes(x, 0.2, 0.08, down + 0.015), key)
            at.write(_short(key.text, self.step - 0.28, 0.052), x + 0.26, down, fontsize=6.5)
        at.y -= self.height


def _swatch(axes: Axes, key: Key) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    if key.look == "line":
        axes.plot([0, 1], [0.5, 0.5], color=key.colour, linestyle=_style(key.dashes))
        return
    look: Mapping[str, Any] = (
        {"color": key.colour, "lw": 0} if key.look == "area" else {"fill": False, "ec": key.colour, "lw": 1.2}
    )
    axes.axvspan(0.25, 0.75, **look)


def laid(block: Panels | Gallery, width: float) -> PanelRows | Pictures:
    return Pictures(block, width) if isinstance(block, Gallery) else PanelRows(block, width)
