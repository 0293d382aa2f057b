"""A drawing as matplotlib draws it for a paper: PDF, PNG, SVG at a column's width, text as text, the same bytes.

matplotlib is an extra, and imported on first use. `STYLE` is all there is of style, for figures of your own too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.figures._page import as_svg
from robustbench_lite.figures.drawing import Drawing, Gallery, Key, Line, Panel, Panels, Tile
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

__all__ = ["COLUMN", "FORMATS", "STYLE", "drawn", "picture", "written"]

COLUMN = 3.25  # inches: one of two columns of ICML and CVPR
FORMATS = (".pdf", ".png", ".svg")
STYLE: Any = {
    "pdf.fonttype": 42,  # TrueType: text that a reader can search and a publisher accepts, no outlines
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "robustbench_lite",  # or names of parts are new each time
    "text.parse_math": False,  # a name with a dollar is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that it is the same everywhere
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "image.interpolation": "none",  # exact pixels
    "savefig.dpi": 300,
    "figure.dpi": 150,
}
_LETTER = 0.056  # inches: width of one at 7 points
_LINE = 0.125  # inches: height of a line of text
_EDGE = 0.05
_LEFT, _BELOW, _ABOVE = 0.42, 0.34, 0.17  # inches around the axes of a panel
_SMALL, _LEGIBLE, _LARGE = 0.3, 0.52, 0.8  # inches: sides of pictures without and with text below, and the largest
_GAP = 0.03


def drawn(drawing: Drawing, suffix: str, width: float | None = None) -> str | bytes:
    """The drawing as a file with this suffix; SVG (or no suffix) without a width is the page's. Raises UsageError."""
    if width is None and suffix in {"", ".svg"}:
        return as_svg(drawing)
    if suffix not in FORMATS:
        raise UsageError(f"expected a figure as {', '.join(FORMATS)}, got '{suffix}'")
    return written(drawing, picture(drawing, width or COLUMN), suffix)


def picture(drawing: Drawing, width: float = COLUMN) -> Picture:
    """The drawing as a matplotlib Figure, `width` inches wide. Raises UsageError where matplotlib is not installed."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "figures for papers need matplotlib, which is not installed; pip install 'robustbench-lite[plot]', "
            "or write .svg without a width, which needs nothing"
        ) from None
    with rc_context(STYLE):
        pages = [_laid(block, width) for block in drawing.blocks]
        keys, notes = _Keys.of(drawing.keys, width), _lines(drawing.notes, width)
        heading = _lines([drawing.heading] if drawing.heading else [], width)
        height = sum(page.height for page in pages) + keys.height + _LINE * (len(notes) + len(heading)) + 2 * _EDGE
        found = Figure(figsize=(width, height))
        at = _Place(found, height - _EDGE)
        at.text(heading)
        for page in pages:
            page.draw(at)
        keys.draw(at)
        at.text(notes)
    return found


def written(drawing: Drawing, found: Picture, suffix: str) -> bytes:
    """A picture as a file of this kind, the same bytes each time: no date, no random names."""
    from matplotlib import rc_context

    told: dict[str, dict[str, Any]] = {
        ".pdf": {"Title": visible(drawing.title), "Subject": visible(drawing.says), "CreationDate": None},
        ".png": {"Title": visible(drawing.title), "Description": visible(drawing.says), "Software": None},
        ".svg": {"Title": visible(drawing.title), "Description": visible(drawing.says), "Date": None},
    }
    file = io.BytesIO()
    with rc_context(STYLE):
        found.savefig(file, format=suffix[1:], metadata=told[suffix])
    return file.getvalue()


@dataclass
class _Place:
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
            self.write(line, _EDGE, i * _LINE)
        self.y -= _LINE * len(lines)


def _lines(texts: Sequence[str], width: float) -> list[str]:
    return [line for text in texts for line in wrap(visible(text), max(20, int((width - 2 * _EDGE) / _LETTER)))]


def _short(text: str, width: float, letter: float = _LETTER) -> str:
    """No wider than that many inches."""
    most = max(2, int(width / letter))
    text = visible(text)
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True)
class _PanelRows:
    """Panels, as many in a row as have room."""

    block: Panels
    width: float

    @property
    def lines(self) -> bool:
        return self.block.panels[0].image is None

    @property
    def across(self) -> int:
        return max(1, min(len(self.block.panels), int(self.width / (2.2 if self.lines else 1.05))))

    @property
    def left(self) -> float:
        """Inches for what is written beside the upward axis."""
        longest = max(len(text) for panel in self.block.panels for _, text in panel.y.ticks)
        return 0.1 + longest * 0.05 + (_LINE if any(panel.y.label for panel in self.block.panels) else 0)

    @property
    def side(self) -> tuple[float, float]:
        """Width and height of the axes of one panel."""
        wide = (self.width - _EDGE) / self.across - self.left - 0.08
        return (wide, 0.62 * wide) if self.lines else (wide, wide)

    @property
    def below(self) -> float:
        return _BELOW if any(panel.x.label for panel in self.block.panels) else _BELOW - _LINE

    @property
    def height(self) -> float:
        rows = -(-len(self.block.panels) // self.across)
        return rows * (_ABOVE + self.side[1] + self.below)

    def draw(self, at: _Place) -> None:
        wide, tall = self.side
        for start in range(0, len(self.block.panels), self.across):
            for i, panel in enumerate(self.block.panels[start : start + self.across]):
                x = self.left + i * (self.left + wide + 0.08)
                _panel(at.axes(x, wide, tall, _ABOVE), panel, wide)
            at.y -= _ABOVE + tall + self.below


def _panel(axes: Axes, panel: Panel, wide: float) -> None:
    if panel.title:
        axes.set_title(_short(panel.title, wide + 0.1, 0.052), pad=3, loc="left")
    ends = (panel.x.low, panel.x.high, panel.y.low, panel.y.high)
    if panel.image is not None:
        axes.imshow(panel.image, extent=ends, aspect="auto")
        axes.spines[:].set_visible(True)
    else:
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    for line in panel.lines:
        _line(axes, line, panel.x.high)
    for mark in panel.marks:
        axes.plot([mark.x], [mark.y], "o", mfc="white", mec="black", mew=0.5, ms=6)
        axes.text(mark.x, mark.y, visible(mark.text), ha="center", va="center_baseline", fontsize=5)
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
class _Pictures:
    """A gallery, its columns in as many groups as it takes for the pictures to be seen."""

    block: Gallery
    width: float

    @property
    def left(self) -> float:
        longest = max(len(strip.name) for strip in self.block.strips)
        return _EDGE + min(longest * _LETTER + 0.05, 0.3 * self.width) if longest else _EDGE

    @property
    def across(self) -> int:
        least = _LEGIBLE if self.block.lines else _SMALL
        most = max(1, int((self.width - self.left - _EDGE + _GAP) / (least + _GAP)))
        groups = -(-self.block.across // most)
        return -(-self.block.across // groups)

    @property
    def side(self) -> tuple[float, float]:
        first = self.block.strips[0].tiles[0].pixels.shape
        wide = min((self.width - self.left - _EDGE + _GAP) / self.across - _GAP, _LARGE)
        return wide, wide * first[0] / first[1]

    @property
    def step(self) -> float:
        """From one strip to the next."""
        return self.side[1] + _GAP + self.block.lines * 0.095

    @property
    def over(self) -> float:
        return _LINE if any(self.block.above) else 0.0

    @property
    def parts(self) -> list[Gallery]:
        return [self.block.part(i, i + self.across) for i in range(0, self.block.across, self.across)]

    @property
    def height(self) -> float:
        shown = sum(any(strip.tiles) for part in self.parts for strip in part.strips)
        heading = _LINE + 0.03 if self.block.heading else 0.0
        return heading + shown * self.step + len(self.parts) * (self.over + 0.06)

    def draw(self, at: _Place) -> None:
        if self.block.heading:
            at.write(_short(self.block.heading, self.width - 2 * _EDGE), _EDGE, 0.0)
            at.y -= _LINE + 0.03
        wide, tall = self.side
        for part in self.parts:
            for i, text in enumerate(part.above):
                at.write(text, self.left + i * (wide + _GAP), 0.0, fontsize=5.5)
            at.y -= self.over
            for strip in part.strips:
                if strip.tiles:
                    at.write(_short(strip.name, self.left - _EDGE), _EDGE, tall / 2 - 0.05)
                    for i, tile in enumerate(strip.tiles):
                        _tile(at, tile, self.left + i * (wide + _GAP), wide, tall)
                    at.y -= self.step
            at.y -= 0.06


def _tile(at: _Place, tile: Tile, x: float, wide: float, tall: float) -> None:
    axes = at.axes(x, wide, tall)
    axes.imshow(tile.pixels, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=bool(tile.frame), color=tile.frame or "black", linewidth=1.2)
    for i, text in enumerate(tile.below):
        look = {"fontsize": 5, "color": "#555555" if i else "black"}
        at.write(_short(text, wide + _GAP, 0.041), x, tall + 0.025 + 0.085 * i, **look)


@dataclass(frozen=True)
class _Keys:
    """What colours mean, in columns."""

    keys: tuple[Key, ...]
    across: int
    step: float

    @classmethod
    def of(cls, keys: tuple[Key, ...], width: float) -> _Keys:
        step = min(width - 2 * _EDGE, 0.34 + max((len(key.text) for key in keys), default=0) * 0.053)
        return cls(keys, max(1, int((width - 2 * _EDGE) / step)), step)

    @property
    def height(self) -> float:
        return -(-len(self.keys) // self.across) * _LINE + (0.06 if self.keys else 0.0)

    def draw(self, at: _Place) -> None:
        for i, key in enumerate(self.keys):
            x, down = _EDGE + i % self.across * self.step, 0.03 + i // self.across * _LINE
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


def _laid(block: Panels | Gallery, width: float) -> _PanelRows | _Pictures:
    return _Pictures(block, width) if isinstance(block, Gallery) else _PanelRows(block, width)
