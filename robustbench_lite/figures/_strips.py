"""Pictures in strips, each framed by what a classifier takes it for: what the figures of objects share."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, TypedDict

from PIL import Image

from robustbench_lite.figures.svg import document, element
from robustbench_lite.lazy import torch

__all__ = ["Pictured", "outcome", "png", "strips"]

_SIDE, _GAP, _LEFT, _TOP = 80, 4, 76, 34  # of a picture, in pixels
_FRAMES = {"target": "#D55E00", "label": "#009E73", "other": "#999999"}
_WORDS = {"target": "the attacker's target", "label": "its own class", "other": "another class"}
_LONGEST = 15


class Pictured(TypedDict):
    """A row of such a figure: one picture."""

    heading: str
    strip: str
    caption: str  # above the picture; empty: none
    prediction: str
    confidence: float
    outcome: str  # label, target, other
    png: bytes


def outcome(prediction: int, label: int, target: int | None) -> str:
    """What the prediction is to the attacker."""
    return "target" if prediction == target else "label" if prediction == label else "other"


def png(image: torch.Tensor) -> bytes:
    """An image (3, H, W) in [0, 1] as PNG, 8 bits a channel."""
    file = io.BytesIO()
    Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def strips(title: str, says: str, rows: Sequence[Pictured]) -> str:
    """All rows as SVG: strips one below the other, under their headings."""
    parts: list[str] = []
    y, widest = _TOP, 0
    for heading, block in groupby(rows, lambda row: row["heading"]):
        parts.append(element("text", text=heading, x=6, y=y, font_size=14, font_weight=600))
        found = [(kind, list(part)) for kind, part in groupby(block, lambda row: row["strip"])]
        captions = [row["caption"] for row in found[0][1]]
        above = 14 if any(captions) else 0
        for i, caption in enumerate(captions):
            parts.append(element("text", text=caption, x=_LEFT + i * (_SIDE + _GAP), y=y + 22, font_size=10))
        for number, (kind, views) in enumerate(found):
            at = y + 14 + above + number * (_SIDE + 34)
            parts.append(element("g", _strip(kind, views), transform=f"translate(0,{at})"))
            widest = max(widest, len(views))
        y += 14 + above + len(found) * (_SIDE + 34) + 24
    width = _LEFT + widest * (_SIDE + _GAP)
    white = element("rect", width=width, height=y + 16, fill="white")
    return document(width, y + 16, title, says, [white, *parts, *_legend(y)])


def _strip(kind: str, views: Sequence[Pictured]) -> Iterator[str]:
    yield element("text", text=kind, x=6, y=_SIDE / 2)
    for i, view in enumerate(views):
        x = _LEFT + i * (_SIDE + _GAP)
        frame: dict[str, Any] = {"x": x, "y": 0, "width": _SIDE, "height": _SIDE}
        yield element("image", **frame, href=_uri(view["png"]), style="image-rendering:pixelated")
        yield element("rect", **frame, fill="none", stroke=_FRAMES[view["outcome"]], stroke_width=3)
        name = view["prediction"]
        name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        yield element("text", text=name, x=x, y=_SIDE + 13, font_size=10)
        yield element("text", text=f"{view['confidence']:.0%}", x=x, y=_SIDE + 25, font_size=10, fill="#555")


def _uri(picture: bytes) -> str:
    """The picture, no larger than it is drawn on a fine screen, as a data URI."""
    file, image = io.BytesIO(), Image.open(io.BytesIO(picture), formats=("PNG",))
    image.resize([min(side, 2 * _SIDE) for side in image.size], Image.Resampling.LANCZOS).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _legend(y: float) -> Iterator[str]:
    for i, (name, colour) in enumerate(_FRAMES.items()):
        x = _LEFT + i * 160
        yield element("rect", x=x, y=y - 10, width=12, height=12, fill="none", stroke=colour, stroke_width=3)
        yield element("text", text=_WORDS[name], x=x + 20, y=y)
