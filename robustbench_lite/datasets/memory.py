"""Images that are in memory already. YAML cannot name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PrivateAttr

from robustbench_lite.datasets.base import DataSource, Samples
from robustbench_lite.datasets.selection import chosen
from robustbench_lite.engine.inputs import checked_images, checked_labels
from robustbench_lite.errors import UsageError
from robustbench_lite.lazy import torch
from robustbench_lite.threat.ids import pixel_ids

__all__ = ["MemoryData"]

_LEVEL = 1e-3  # of one of the 255 levels: more than that is no rounding of a float


class MemoryData(DataSource):
    """Images (N, C, H, W), uint8 or float32 in [0, 1], and labels (N,). A run stores and attacks 8-bit images."""

    _name: str = PrivateAttr("")
    _images: Any = PrivateAttr(None)
    _labels: Any = PrivateAttr(None)
    _warnings: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def of(cls, name: str, x: Any, y: Any, **selection: Any) -> MemoryData:
        """The images as they are now: what is changed later is not seen. Raises UsageError."""
        source = cls(**selection)
        levels = _levels(name, x)
        pixels = levels.round().to(torch.uint8)
        off = ((levels - pixels).abs() > _LEVEL).flatten(1).any(1)
        source._name, source._images = name, np.ascontiguousarray(pixels.numpy())
        source._labels = checked_labels(y, len(pixels), None, f"{name}: y").numpy().copy()
        if count := int(off.sum()):
            source._warnings = (f"{name}: {count} of {len(pixels)} images were rounded to 8 bits, as they are stored",)
        return source

    def load(self, root: Path) -> Samples:  # noqa: ARG002  (nothing is on the disk)
        ids = pixel_ids(self._images)
        places = chosen(self, self._name, ids, self._labels)
        return Samples(
            self._name,
            tuple(ids[place] for place in places),
            self._images[places],
            self._labels[places],
            (),
            present=tuple(sorted(set(self._labels.tolist()))),
            warnings=self._warnings,
        )


def _levels(name: str, x: Any) -> torch.Tensor:
    """The images in levels of 8 bits, 0 to 255. Raises UsageError."""
    if not (isinstance(x, torch.Tensor) and x.dtype == torch.uint8):
        return checked_images(x, f"{name}: x").double() * 255
    if x.ndim != 4 or 0 in x.shape:
        raise UsageError(f"{name}: x: expected images (N, C, H, W), at least one, got {tuple(x.shape)}")
    levels: torch.Tensor = x.detach().cpu().double()
    return levels
