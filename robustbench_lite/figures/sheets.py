"""Images side by side, and as what a page can show."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["as_uri", "sheet"]


def as_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """(C, H, W) as a PNG data URI."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def sheet(images: Sequence[npt.NDArray[np.uint8]], columns: int) -> npt.NDArray[np.uint8]:
    """Images (C, H, W) side by side, row by row, two pixels of grey between them."""
    channels, height, width = images[0].shape
    lines = -(-len(images) // columns)
    size = (channels, lines * (height + 2) - 2, min(columns, len(images)) * (width + 2) - 2)
    whole = np.full(size, 128, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 2), i % columns * (width + 2)
        whole[:, top : top + height, left : left + width] = image
    return whole
