"""A drawing as one self-contained SVG document, as the report shows it: no library, no font, nothing from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from PIL import Image

from robustbench_lite.figures.drawing import Axis, Drawing, Gallery, Key, Line, Panel, Panels, Pixels, Tile
from robustbench_lite.figures.svg import document, element

__all__ = ["as_svg"]

_PAD, _LETTER = 10, 6.4  # around the whole, and the width of a letter at 11, in pixels
_WIDTH, _HEIGHT, _LEFT, _GAP = 360, 220, 58, 64  # of a panel with lines
_SIDE, _BETWEEN = 190, 48  # of a panel with an image
_SPACE, _TEXT = 4, 13  # of a gallery: between pictures, a line of text
_LEAST = 420  # width of a document
_CRISP = "image-rendering:pixelated"


def as_svg(drawing: Drawing) -> str:
    """The document: heading, blocks, keys and notes below each other."""
    parts, y, width = list[str](), 8.0, float(_LEAST)
    if drawing.heading:
        parts.append(element("text", text=drawing.heading, x=_PAD, y=20, font_size=14, font_weight=600))
        y = 30.0
    for block in drawing.blocks:
        drawn, wide, tall = _gallery(block) if isinstance(block, Gallery) else _panels(block)
        parts.append(element("g", drawn, transform=f"translate(0,{y:g})"))
        y, width = y + tall, max(width, wide)
    longest = max((len(note) for note in (drawing.heading, *drawing.notes)), default=0)
    width = max(width, min(2 * _PAD + longest * _LETTER, 1100))
    keys, tall = _keys(drawing.keys, width)
    parts.append(element("g", keys, transform=f"translate(0,{y + 8:g})"))
    y += tall + 8
    for i, note in enumerate(drawing.notes):
        parts.append(element("text", text=note, x=_PAD, y=y + 18 * i + 8))
    height = y + 18 * len(drawing.notes) + 8
    white = element("rect", width=width, height=height, fill="white", class_="ground")
    return document(width, height, drawing.title, drawing.says, [white, *parts])


def _panels(block: Panels) -> tuple[list[str], float, float]:
    """Panels in rows, with their width and height."""
    lines = block.panels[0].image is None
    wide, tall = (_WIDTH, _HEIGHT) if lines else (_SIDE, _SIDE)
    step, line = wide + (_GAP if lines else _BETWEEN), tall + 76
    across = min(len(block.panels), block.across)
    parts = [
        element(
            "g", _panel(one, wide, tall), transform=f"translate({_LEFT + i % across * step},{28 + i // across * line})"
        )
        for i, one in enumerate(block.panels)
    ]
    return parts, _LEFT + across * step, -(-len(block.panels) // across) * line


def _panel(panel: Panel, wide: float, tall: float) -> Iterator[str]:
    yield element("text", text=panel.title, y=-10, font_weight=600)
    if panel.image is not None:
        place: dict[str, Any] = {"width": wide, "height": tall, "preserveAspectRatio": "none"}
        yield element("image", href=_uri(panel.image), style=_CRISP, **place)
        yield element("rect", width=wide, height=tall, fill="none", stroke="#333")
    for at, text in panel.y.ticks:
        y = tall * (1 - _share(panel.y, at))
        if panel.image is None:
            yield element("line", x1=0, x2=wide, y1=y, y2=y, stroke="#ddd")
        yield element("text", text=text, x=-6, y=y + 4, text_anchor="end")
    for at, text in panel.x.ticks:
        yield element("text", text=text, x=wide * _share(panel.x, at), y=tall + 16, text_anchor="middle")
    yield element("text", text=panel.x.label, x=wide / 2, y=tall + 34, text_anchor="middle")
    if panel.y.label:
        turned = f"translate({16 - _LEFT},{tall / 2:g}) rotate(-90)"
        yield element("text", text=panel.y.label, text_anchor="middle", transform=turned)
    for line in panel.lines:
        yield from _line(panel, line, wide, tall)
    for mark in panel.marks:
        x, y = wide * _share(panel.x, mark.x), tall * (1 - _share(panel.y, mark.y))
        wide = max(13.0, 5.5 * len(mark.text) + 5)
        place = {"x": x - wide / 2, "y": y - 6.5, "width": wide, "height": 13, "rx": 6.5}
        yield element("rect", **place, fill="white", stroke="black")
        yield element("text", text=mark.text, x=x, y=y + 3.5, text_anchor="middle", font_size=9, class_="on-white")


def _share(axis: Axis, value: float) -> float:
    return (value - axis.low) / (axis.high - axis.low)


def _line(panel: Panel, line: Line, wide: float, tall: float) -> Iterator[str]:
    """The line in the band of its interval, or a mark with its interval at each value."""
    x, *columns = line.until(panel.x.high)
    across = [wide * _share(panel.x, float(at)) for at in x]
    middle, low, high = ([tall * (1 - _share(panel.y, float(at))) for at in column] for column in columns)
    if line.kind == "marks":
        for at, y, bottom, top in zip(across, middle, low, high, strict=True):
            yield element("line", x1=at, x2=at, y1=bottom, y2=top, stroke=line.colour, stroke_width=2)
            yield element("circle", cx=at, cy=y, r=4, fill=line.colour)
        return
    if line.low is not None:
        band = [*zip(across, high, strict=True), *reversed([*zip(across, low, strict=True)])]
        yield element("polygon", points=_text(band), fill=line.colour, opacity=0.15)
    points = _text([*zip(across, middle, strict=True)])
    yield element("polyline", points=points, fill="none", stroke=line.colour, stroke_width=2, **_dashed(line.dashes))


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _dashed(dashes: Sequence[float]) -> dict[str, str]:
    return {"stroke_dasharray": " ".join(f"{part:g}" for part in dashes)} if dashes else {}


def _gallery(block: Gallery) -> tuple[list[str], float, float]:
    """Strips of pictures below each other, all of one height, with their width and height."""
    first = block.strips[0].tiles[0].pixels.shape
    tall, wide = block.side, round(block.side * first[1] / first[0])
    longest = max(len(strip.name) for strip in block.strips)
    left = 2 * _PAD + longest * _LETTER if longest else _PAD
    parts, y = list[str](), 0
    if block.heading:
        parts.append(element("text", text=block.heading, x=_PAD, y=16, font_size=13, font_weight=600))
        y = 24
    for i, text in enumerate(block.above):
        parts.append(element("text", text=text, x=left + i * (wide + _SPACE), y=y + 10, font_size=10))
    y += 16 if any(block.above) else 0
    for strip in block.strips:
        parts.append(element("text", text=strip.name, x=_PAD, y=y + tall / 2 + 4))
        tiles = (_tile(tile, left + i * (wide + _SPACE), wide, tall) for i, tile in enumerate(strip.tiles))
        parts.append(element("g", chain.from_iterable(tiles), transform=f"translate(0,{y})"))
        y += tall + _SPACE + strip.lines * _TEXT
    return parts, left + block.across * (wide + _SPACE) + _PAD, y + 12


def _tile(tile: Tile, x: float, wide: float, tall: float) -> Iterator[str]:
    frame: dict[str, Any] = {"x": x, "y": 0, "width": wide, "height": tall}
    yield element("image", **frame, href=_uri(tile.pixels, 2 * tall), style=_CRISP)
    if tile.frame:
        yield element("rect", **frame, fill="none", stroke=tile.frame, stroke_width=3)
    most = max(3, int(wide / 5.2))
    for i, text in enumerate(tile.below):
        short = text if len(text) <= most else text[: most - 1] + "…"
        yield element("text", text=short, x=x, y=tall + _TEXT * (i + 1), font_size=10, fill="#555" if i else "#000")


def _uri(pixels: Pixels, most: float = 2000) -> str:
    """The picture as a data URI, no larger than it is drawn on a fine screen."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    if image.height > most:
        size = max(1, round(image.width * most / image.height)), int(most)
        image = image.resize(size, Image.Resampling.LANCZOS)
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
        image = image.convert("L")  # a third of the bytes
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _keys(keys: Sequence[Key], width: float) -> tuple[list[str], float]:
    """The keys in columns, with their height."""
    if not keys:
        return [], 0.0
    step = max(len(key.text) for key in keys) * _LETTER + 48
    across = max(1, int((width - _PAD) / step))
    parts = []
    for i, key in enumerate(keys):
        x, y = _PAD + i % across * step, 18.0 * (i // across)
        parts += [_swatch(key, x, y), element("text", text=key.text, x=x + 28, y=y + 10)]
    return parts, 18.0 * -(-len(keys) // across) + 6


def _swatch(key: Key, x: float, y: float) -> str:
    if key.look == "line":
        line: dict[str, Any] = {"x1": x, "x2": x + 22, "y1": y + 6, "y2": y + 6, "stroke": key.colour}
        return element("line", **line, stroke_width=2, **_dashed(key.dashes))
    look = {"fill": key.colour} if key.look == "area" else {"fill": "none", "stroke": key.colour, "stroke_width": 3}
    return element("rect", x=x + 6, y=y, width=12, height=12, **look)
