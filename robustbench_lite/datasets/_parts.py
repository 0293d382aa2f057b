"""Samples in the rows of several files: what one file holds, and a dataset of them in a row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.datasets._decode import ImageSource
from robustbench_lite.datasets._labels import Raw, labelled
from robustbench_lite.datasets.base import Samples
from robustbench_lite.datasets.stream import Images, Reader
from robustbench_lite.errors import DataError
from robustbench_lite.threat.ids import content_id, pixel_id, unique_ids

__all__ = ["Encoded", "FileRows", "Part", "RowSource", "row_id"]

Encoded = bytes | npt.NDArray[np.uint8]


class Part(Protocol):
    """What one file holds: labels, names of classes, and images, which are read when they are asked for."""

    @property
    def labels(self) -> list[Raw]:
        """Of all rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes that are numbers; empty: not known."""

    @property
    def start(self) -> int:
        """Of how many rows the files before it are."""

    def place(self, row: int) -> str:
        """The sentence's place of a row."""

    def ids(self) -> list[str]:
        """Of all rows."""

    def images(self, rows: Iterable[int]) -> dict[int, Encoded]:
        """Some of them."""


@dataclass(frozen=True)
class FileRows:
    """What one file holds: labels, the column of images, which are read when they are asked for, and names of classes.

    `start`: of how many rows the files before it are.
    """

    file: Path
    image: str
    labels: list[Raw]
    names: tuple[str, ...]
    start: int

    def place(self, row: int) -> str:
        """The sentence's place of a row."""
        return f"{self.file} row {row}"


class RowSource(ImageSource):
    """A source whose samples lie in the rows of files."""

    def of_parts(self, what: str, parts: Sequence[Part], warnings: Iterable[str] = ()) -> Samples:
        """The selection from all rows. Raises DataError."""
        raw = [label for part in parts for label in part.labels]
        if not raw:
            raise DataError(f"{what}: there are no rows")
        names = next((part.names for part in parts if part.names), ())
        labels = labelled(raw, self.labels, names, where=lambda i: _place(parts, i))
        ids = unique_ids(name for part in parts for name in part.ids())
        reader = Reader(lambda places: _encoded(parts, places), self._pixels)
        return self.gather(what, ids, labels, reader, warnings=warnings)

    def _pixels(self, name: str, image: Encoded) -> Images:
        return self.picture(name, image) if isinstance(image, bytes) else self.fitted(Image.fromarray(image), name)


def _part(parts: Sequence[Part], place: int) -> Part:
    """The file that a row of all of them lies in."""
    return parts[bisect_right(parts, place, key=lambda part: part.start) - 1]


def _place(parts: Sequence[Part], place: int) -> str:
    part = _part(parts, place)
    return part.place(place - part.start)


def _encoded(parts: Sequence[Part], places: Sequence[int]) -> list[tuple[str, Encoded]]:
    """Name and content of the images at some places of all files."""
    found = dict[int, Encoded]()
    for part in parts:
        rows = [place - part.start for place in places if 0 <= place - part.start < len(part.labels)]
        if rows:
            found |= {row + part.start: image for row, image in part.images(rows).items()}
    return [(_place(parts, place), found[place]) for place in places]


def row_id(image: Encoded) -> str:
    """Of bytes, or of pixels (H, W) or (H, W, C): the same as where they lie in other files."""
    if isinstance(image, bytes):
        return content_id(image)
    return pixel_id(image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1)))
