"""What all sources of images share: arrays of one shape, scaled and cropped, grey or colour; and what labels mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.datasets._labels import Labelled, Labels
from robustbench_lite.datasets._pictures import picture
from robustbench_lite.datasets._room import check_pixels, check_room
from robustbench_lite.datasets.base import DataSource, Samples
from robustbench_lite.datasets.selection import chosen
from robustbench_lite.errors import DataError

__all__ = ["ImageSource", "Images"]

Images = npt.NDArray[np.uint8]
_FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1}
_DARK = 16  # of 255; where no pixel of any image is brighter, the numbers mean something else


class ImageSource(DataSource):
    """Options of the sources of plain images."""

    size: PositiveInt | None = Field(None, description="Side of the centre crop; null: the images as they are.")
    resize: PositiveInt | None = Field(None, description="First scale the shorter side to this; null: to `size`.")
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        "bilinear", description="Filter of the scaling."
    )
    trim: bool = Field(default=False, description="First cut off what is exactly black on the four sides.")
    channels: Literal[1, 3] | None = Field(None, description="Convert to grey or colour; null: as the images are.")
    background: Literal["white", "black"] | None = Field(
        None, description="What lies behind transparent pixels; null: an image that has any is refused."
    )
    labels: Labels = Field(
        None,
        description=(
            "What the labels mean: {from: 1} where they start at 1, a mapping from labels to the classifier's class "
            "numbers or names (null: leave out), a list of the classes' names in order, or sorted (places in sorted "
            "order). null: names that the classifier knows, or class numbers from 0."
        ),
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.size is not None and self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize: expected at least size, {self.size}, which is cut out of it, got {self.resize}")
        return self

    def gather(
        self,
        what: str,
        ids: Sequence[str],
        labels: Labelled,
        load: Callable[[list[int]], Images],
        *,
        sortable: bool = False,
        warnings: Iterable[str] = (),
    ) -> Samples:
        """The selection among the samples that have labels; `load` reads the images (N, C, H, W) at places.

        Raises DataError.
        """
        index = chosen(self, what, [ids[place] for place in labels.kept], labels.labels)
        places = [labels.kept[i] for i in index]
        images = load(places)
        dark = int(images.max(initial=0)) if len(images) else 0
        said = [f"{what}: the brightest pixel of all images is {dark} of 255: what do the numbers mean?"]
        return Samples(
            what,
            tuple(ids[place] for place in places),
            images,
            labels.labels[index],
            labels.classes,
            naming=labels.naming,
            present=labels.present,
            sortable=sortable and (self.labels is None or self._only_leaves_out()),
            warnings=(*warnings, *(said if dark <= _DARK else ())),
        )

    def _only_leaves_out(self) -> bool:
        return isinstance(self.labels, dict) and all(new is None for new in self.labels.values())

    def decoded(self, files: Iterable[tuple[str, bytes]], n: int) -> Images:
        """(N, C, H, W) from (name, encoded bytes) of n. Raises DataError where shapes differ or a file is no image."""
        return stacked(((name, self.fitted(picture(name, data, self.background), name)) for name, data in files), n)

    def refitted(self, images: Images) -> Images:
        """Images (N, C, H, W) in memory under the same options."""
        if (self.size, self.resize, self.trim, self.channels) == (None, None, False, None):
            return images
        return stacked(((f"image {i}", self.fitted(as_picture(image))) for i, image in enumerate(images)), len(images))

    def fitted(self, image: Image.Image, name: str = "an image") -> Images:
        """(C, H, W) of a picture in mode L or RGB: trimmed, grey or colour, scaled and cropped."""
        if self.trim and (box := image.getbbox()):
            image = image.crop(box)
        if self.channels is not None:
            image = image.convert("L" if self.channels == 1 else "RGB")
        array = np.asarray(self._crop(image, name))
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _crop(self, image: Image.Image, name: str) -> Image.Image:
        side = self.resize or self.size
        if side is None:
            return image
        scale = side / min(image.size)
        if scale != 1:
            width, height = (max(self.size or 1, round(side * scale)) for side in image.size)
            check_pixels(width, height, name, f"scaled from {image.width}x{image.height} to ")
            image = image.resize((width, height), _FILTERS[self.interpolation])
        if self.size is None:
            return image
        left, top = (round((side - self.size) / 2) for side in image.size)
        return image.crop((left, top, left + self.size, top + self.size))


def as_picture(image: Images) -> Image.Image:
    """A picture of (C, H, W) with one or three channels. Raises DataError for others."""
    if image.shape[0] not in {1, 3}:
        raise DataError(f"images have {image.shape[0]} channels, expected 1 or 3")
    return Image.fromarray(image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def stacked(images: Iterable[tuple[str, Images]], n: int) -> Images:
    """One array (N, C, H, W) of n named ones (C, H, W). Raises DataError where shapes differ, or there is no room."""
    out, first = np.empty((0, 0, 0, 0), np.uint8), ""
    for i, (name, image) in enumerate(images):
        if i == 0:
            shape = _text(image.shape)
            check_room(n * image.nbytes, f"{n} images of {shape}", "take fewer samples, or set size on the dataset")
            out, first = np.empty((n, *image.shape), np.uint8), name
        if image.shape != out.shape[1:]:
            raise _differ(first, out.shape[1:], name, image.shape)
        out[i] = image
    return out


def _differ(first: str, one: tuple[int, ...], second: str, other: tuple[int, ...]) -> DataError:
    wanted = ("size", "channels") if one[0] != other[0] and one[1:] != other[1:] else ("size",)
    wanted = ("channels",) if one[1:] == other[1:] else wanted
    return DataError(
        f"images differ in shape: {first} is {_text(one)}, {second} is {_text(other)}; "
        f"set {' and '.join(wanted)} on the dataset"
    )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
