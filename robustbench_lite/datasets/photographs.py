"""Real photographs of one flat object, or of several of a kind (`photographs:`), to put a sticker on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from robustbench_lite.datasets._paths import absent, find, read_file
from robustbench_lite.datasets._pictures import picture
from robustbench_lite.datasets.base import DataSource, Samples, datasets
from robustbench_lite.datasets.parquet import Parquet
from robustbench_lite.datasets.selection import chosen
from robustbench_lite.datasets.sign import CLASSES
from robustbench_lite.errors import DataError
from robustbench_lite.lazy import kornia, torch
from robustbench_lite.physical.camera import OVER, Placement, to_corners
from robustbench_lite.physical.shots import Photographed
from robustbench_lite.physical.sign import outline, stop_sign
from robustbench_lite.registry import Number
from robustbench_lite.threat.ids import content_id, pixel_ids

__all__ = ["Album", "Photographs"]

_CORNERS = tuple(f"{axis}{i}" for i in range(1, 5) for axis in "xy")
_DARKEST = 1e-3
_WIDEST = 8000  # pixels of the square around an object


@dataclass
class Album:
    """Crops (N, 3, S, S) as bytes, the object's corners in each (N, 4, 2) in pixels, and where each was taken from."""

    images: npt.NDArray[np.uint8]
    corners: npt.NDArray[np.float32]
    facts: list[dict[str, Any]]
    classes: tuple[str, ...] = field(default=CLASSES)


def _table(path: str) -> str:
    if Path(path).suffix.lower() not in {".csv", ".parquet"}:
        raise ValueError(f"expected a CSV file (file, distance, angle, ...) or a Parquet file of crops, got '{path}'")
    return path


@datasets.register("photographs")
class Photographs(DataSource):
    """Photographs of one object; `fit_from` names others, on which a sticker is optimised (null: these themselves)."""

    photographs: Annotated[str, AfterValidator(_table)] = Field(
        description=(
            "A CSV file with the columns file (beside it), distance (feet), angle (degrees) and, for photographs that "
            "are not cropped to the object, x1, y1 to x4, y4: the corners of the square around it, in pixels, "
            "clockwise from the upper left. Or a Parquet file of crops, of which those with `label` are taken."
        )
    )
    label: NonNegativeInt = Field(14, description="The object's class; 14 is Stop in GTSRB.")
    object: Literal["stop_sign", "picture"] = Field(
        "stop_sign", description="What the sticker's colours start from: a drawn stop sign, or the first photograph."
    )
    size: PositiveInt = Field(32, description="Side of the crops, pixels.")
    resolution: int = Field(128, ge=32, le=1024, description="Side of the object's texture, pixels.")
    margin: Number = Field(1.2, ge=1, description="Side of the crop by the larger side of the object, given corners.")
    blur: Number = Field(0.0, ge=0, description="Of the sticker in the crop, standard deviation in pixels.")
    pad: Literal[0] = Field(0, description="Nothing to pad: crops are made anew.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from absent("photographs", self.photographs, root)
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        taken = self.album(root)
        others = taken if self.fit_source is None else self._others(root)
        images, ids = taken.images, pixel_ids(taken.images)
        texture, album = self._texture(taken), _floats(others.images)
        places = (part.tobytes() for part in (others.images, taken.corners, others.corners))
        facts = content_id(b"".join([texture.numpy().tobytes(), *places, str(self.blur).encode()]))
        placed, album_placed = (self._placed(one, texture) for one in (taken, others))
        shots = Photographed(facts, texture, placed, tuple(taken.facts), album, album_placed)
        labels = np.full(len(images), self.label, np.int64)
        index = chosen(self, self.photographs, ids, labels)
        names = taken.classes if self.label < len(taken.classes) else ()
        scene = shots.pick(torch.tensor(index))
        return Samples(self.photographs, tuple(ids[i] for i in index), images[index], labels[index], names, scene)

    def _others(self, root: Path) -> Album:
        source = self.fit_source
        if not isinstance(source, Photographs):
            raise DataError("fit_from: expected other photographs of the object, {photographs: FILE, ...}")
        if source.size != self.size:
            raise DataError(f"fit_from: expected crops of {self.size} pixels like those tested, got {source.size}")
        return source.album(root)

    def album(self, root: Path) -> Album:
        """All photographs, in the order of the file. Raises DataError."""
        path = find(self.photographs, root, "photographs")
        return self._crops(path) if path.suffix.lower() == ".parquet" else self._listed(path)

    def _crops(self, path: Path) -> Album:
        """The images of one class from a file of crops; the object fills them."""
        found = Parquet(parquet=str(path), trim=True, size=self.size, channels=3).load(path.parent)
        images = found.images[found.labels == self.label]
        if not len(images):
            raise DataError(f"{path}: no image with the label {self.label}")
        return Album(images, np.stack([_square(self.size)] * len(images)), [{}] * len(images), found.classes)

    def _listed(self, path: Path) -> Album:
        text = read_file(path).decode("utf-8", "replace")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True))
        if not rows or not {"file", "distance", "angle"} <= rows[0].keys():
            raise DataError(f"{path}: expected a line with the columns file, distance and angle, and lines below it")
        parts = [self._row(path, number, row) for number, row in enumerate(rows, start=2)]
        images, corners, facts = zip(*parts, strict=True)
        return Album(np.stack(images), np.stack(corners), list(facts))

    def _row(
        self, path: Path, number: int, row: dict[str, str]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], dict[str, Any]]:
        """Crop (3, S, S), corners in it (4, 2), facts."""
        at = f"{path} line {number}"
        try:
            facts = {name: float(row[name]) for name in ("distance", "angle")}
            given = [row.get(name) or "" for name in _CORNERS]
            corners = np.array(given, np.float64).reshape(4, 2) if any(given) else None
        except (TypeError, ValueError):
            raise DataError(
                f"{at}: expected numbers in distance, angle and all of x1 to y4 (or none of these)"
            ) from None
        photo = path.parent / row["file"]
        if not photo.is_file():
            raise DataError(f"{at}: no file {photo}")
        image = picture(str(photo), read_file(photo), "white").convert("RGB")
        if corners is None:
            box, inside = (0.0, 0.0, float(image.width), float(image.height)), _square(self.size)
        else:
            low, high = corners.min(0), corners.max(0)
            side = self.margin * float((high - low).max())
            if not 0 < side <= _WIDEST:
                raise DataError(
                    f"{at}: the four corners span {side:g} pixels with their margin, expected at most {_WIDEST}, and "
                    "not all at one point"
                )
            left, top = (low + high) / 2 - side / 2
            box = (left, top, left + side, top + side)
            inside = ((corners - box[:2]) / side * self.size - 0.5).astype(np.float32)
        return _cut(image, box, self.size), inside, facts

    def _texture(self, taken: Album) -> torch.Tensor:
        """The object's colours (3, R, R): drawn, or the first photograph seen from the front."""
        side = self.resolution
        if self.object == "stop_sign":
            return torch.from_numpy(stop_sign(side).copy()).permute(2, 0, 1).float() / 255
        there = to_corners(torch.from_numpy(taken.corners[:1]), side)
        x = _floats(taken.images[:1])
        warped = kornia.geometry.transform.warp_perspective(
            x, torch.linalg.inv(there), (side, side), padding_mode="border", align_corners=True
        )
        return warped[0].clamp(0, 1)

    def _placed(self, taken: Album, texture: torch.Tensor) -> Placement:
        """Where the object lies in each crop, and how much lighter it is there than in its own colours."""
        fine = (torch.from_numpy(taken.corners) + 0.5) * OVER - 0.5
        inside = torch.from_numpy(outline(32))
        middle = torch.nn.functional.interpolate(texture[None], 32, mode="bilinear", antialias=True)
        there = to_corners(torch.from_numpy(taken.corners), 32)
        seen = kornia.geometry.transform.warp_perspective(
            _floats(taken.images), torch.linalg.inv(there), (32, 32), padding_mode="border", align_corners=True
        )
        gain = (seen * inside).sum((1, 2, 3)) / (middle * inside).sum().clamp_min(_DARKEST)
        sigma = torch.full((len(fine),), self.blur * OVER)
        return Placement(to_corners(fine, texture.shape[-1]), sigma, gain.clamp(_DARKEST, 1 / _DARKEST))


def _floats(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.copy()).float() / 255


def _square(size: int) -> npt.NDArray[np.float32]:
    """The corner pixels of a crop, as (x, y)."""
    end = size - 1
    return np.array([[0, 0], [end, 0], [end, end], [0, end]], np.float32)


def _cut(image: Image.Image, box: tuple[float, float, float, float], size: int) -> npt.NDArray[np.uint8]:
    """The box of a picture as (3, S, S), smoothed where it is made smaller; black where it sticks out."""
    left, top = int(np.floor(box[0])), int(np.floor(box[1]))
    width, height = (int(np.ceil(end)) - start for end, start in zip(box[2:], (left, top), strict=True))
    part = image.crop((left, top, left + width, top + height))
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    small = part.resize((size, size), Image.Resampling.BILINEAR, box=inner)
    return np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))
