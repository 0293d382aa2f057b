"""Parquet files in the layout of Hugging Face: `image: struct<bytes, path>` and `label`, or with pixels in lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pydantic import Field

from robustbench_lite.datasets._columns import IMAGES, LABELS, class_names, column_named, images_in, labels_in
from robustbench_lite.datasets._decode import Images, ImageSource, stacked
from robustbench_lite.datasets._labels import Raw, labelled, listed
from robustbench_lite.datasets._paths import absent, find
from robustbench_lite.datasets._pictures import is_pointer, picture
from robustbench_lite.datasets._room import check_room
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import regular
from robustbench_lite.guards.parquet import unfolded
from robustbench_lite.threat.ids import content_id, pixel_id, unique_ids

__all__ = ["Parquet"]

_HALF = re.compile(r"(train|training|val|valid|validation|dev|test|extra)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """What one file holds: images, labels, the place of every row, and the names of class numbers."""

    images: list[bytes | npt.NDArray[np.uint8]]
    labels: list[Raw]
    places: list[str]
    names: tuple[str, ...]


@datasets.register("parquet")
class Parquet(ImageSource):
    """Images and labels in one Parquet file, or in several: those of a folder, or of a pattern such as test-*."""

    parquet: str = Field(description="The file, a folder of files, or a pattern such as data/test-*.parquet.")
    image: str = Field(
        "image",
        description="Column of the images: bytes, a struct with a field bytes, or lists of rows of pixels.",
    )
    label: str = Field("label", description="Column of the labels: numbers, names, or one-hot lists.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from absent("parquet", str(self._folder_of_pattern() or self.parquet), root)
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        parts = [self._read(file) for file in self._files(root)]
        images = [image for part in parts for image in part.images]
        places = [place for part in parts for place in part.places]
        raw = [label for part in parts for label in part.labels]
        if not raw:
            raise DataError(f"{self.parquet}: there are no rows")
        names = next((part.names for part in parts if part.names), ())
        labels = labelled(raw, self.labels, names, where=lambda i: places[i])
        ids = unique_ids(content_id(image) if isinstance(image, bytes) else _pixel_id(image) for image in images)
        return self.gather(self.parquet, ids, labels, lambda index: self._images(images, places, index))

    def _images(self, images: list[bytes | npt.NDArray[np.uint8]], places: list[str], index: list[int]) -> Images:
        named = ((places[i], self.fitted(self._picture(places[i], images[i]), places[i])) for i in index)
        return stacked(named, len(index))

    def _picture(self, place: str, image: bytes | npt.NDArray[np.uint8]) -> Image.Image:
        return picture(place, image, self.background) if isinstance(image, bytes) else Image.fromarray(image)

    def _folder_of_pattern(self) -> Path | None:
        path = Path(self.parquet)
        return path.parent if any(sign in path.name for sign in "*?[") else None

    def _files(self, root: Path) -> list[Path]:
        folder = self._folder_of_pattern()
        path = find(str(folder) if folder else self.parquet, root, "parquet")
        if folder is None and not path.is_dir():
            return [path]
        pattern = Path(self.parquet).name if folder else "*.parquet"
        files = sorted(file for file in path.glob(pattern) if not file.name.startswith("."))
        if not files:
            deeper = next(path.glob("*/*.parquet"), None)
            hint = f"; there are some in {deeper.parent}" if deeper else ""
            raise DataError(f"{path}: no Parquet file '{pattern}' in this folder{hint}")
        halves = sorted({match[1].lower() for file in files if (match := _HALF.match(file.name))})
        if len(halves) > 1:
            raise DataError(
                f"{path}: holds {listed(halves)}; name one, such as `parquet: {path.name}/{halves[0]}*.parquet`"
            )
        return files

    def _read(self, file: Path) -> Rows:
        try:
            with regular(file).open("rb") as start:
                if is_pointer(start.read(64)):
                    raise DataError(f"{file}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
            with pq.ParquetFile(file) as opened:
                schema = opened.schema_arrow
                image = column_named(self.image, IMAGES, schema.names, str(file))
                label = column_named(self.label, LABELS, schema.names, str(file))
                room = lambda n, size: check_room(size, f"{file}, {n} rows", "split the file, or take a smaller one")
                table = unfolded(opened, room, [image, label])
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(f"{file}: not a readable Parquet file ({reason})") from None
        places = [f"{file} row {row}" for row in range(len(table))]
        place = lambda row: places[row] if row < len(places) else str(file)
        return Rows(
            images_in(table[image], image, place),
            labels_in(table[label], label, place),
            places,
            class_names(schema, label),
        )


def _pixel_id(image: npt.NDArray[np.uint8]) -> str:
    """The id of pixels (H, W) or (H, W, C), the same as where they lie in other files."""
    return pixel_id(image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1)))
