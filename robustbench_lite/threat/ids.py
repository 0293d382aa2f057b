"""What a sample is called: a hash of what it is, so that it is the same in every source, order and process."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["content_id", "float_ids", "pixel_id", "pixel_ids", "unique_ids"]

_HEX = 16
_LEVEL = 1e-4  # of a level of 8 bits: what float32 makes of one is nearer


def content_id(data: bytes) -> str:
    """The first 16 hex digits of the sha256: what a sample is called everywhere."""
    return hashlib.sha256(data).hexdigest()[:_HEX]


def pixel_ids(images: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Ids of images (N, C, H, W) from their shape and pixels."""
    return unique_ids(pixel_id(image) for image in images)


def pixel_id(image: npt.NDArray[np.uint8]) -> str:
    """The id of one image (C, H, W) from its shape and pixels."""
    return content_id(str(image.shape).encode() + image.tobytes())


def unique_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """Equal images get -1, -2, ... so that every sample has an id of its own."""
    seen: Counter[str] = Counter()
    out = []
    for name in ids:
        out.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return tuple(out)


def float_ids(images: npt.NDArray[np.float32]) -> tuple[str, ...]:
    """Ids of images (N, C, H, W) in [0, 1]: those of the 8-bit images that they are, else of their exact pixels."""
    return unique_ids(_float_id(image) for image in images)


def _float_id(image: npt.NDArray[np.float32]) -> str:
    levels = image.astype(np.float64) * 255
    if np.abs(levels - levels.round()).max(initial=0) < _LEVEL:
        return pixel_id(levels.round().astype(np.uint8))
    return content_id(f"{image.shape}".encode() + np.ascontiguousarray(image, "<f4").tobytes())
