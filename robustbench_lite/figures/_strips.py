"""Pictures in strips, each framed by what a classifier takes it for: what the figures of objects share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import TypedDict

import numpy as np
from PIL import Image

from robustbench_lite.figures.drawing import Drawing, Gallery, Key, Strip, Tile
from robustbench_lite.lazy import torch

__all__ = ["Pictured", "outcome", "png", "strips"]

_FRAMES = {"target": "#D55E00", "label": "#009E73", "other": "#999999"}
_WORDS = {"target": "the attacker's target", "label": "its own class", "other": "another class"}


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


def strips(title: str, says: str, rows: Sequence[Pictured]) -> Drawing:
    """All rows: strips one below the other, under their headings."""
    blocks = tuple(_gallery(heading, list(block)) for heading, block in groupby(rows, lambda row: row["heading"]))
    keys = tuple(Key(_WORDS[name], colour, "frame") for name, colour in _FRAMES.items())
    return Drawing(title, says, blocks, keys=keys)


def _gallery(heading: str, rows: Sequence[Pictured]) -> Gallery:
    found = [(kind, list(part)) for kind, part in groupby(rows, lambda row: row["strip"])]
    above = tuple(row["caption"] for row in found[0][1])
    return Gallery(heading, tuple(Strip(kind, tuple(map(_tile, views))) for kind, views in found), above)


def _tile(view: Pictured) -> Tile:
    with Image.open(io.BytesIO(view["png"]), formats=("PNG",)) as image:
        pixels = np.asarray(image.convert("RGB"))
    below = (view["prediction"], f"{view['confidence']:.0%}")
    return Tile(pixels, f"{view['caption']} taken for {view['prediction']}", below, _FRAMES[view["outcome"]])
