"""What all sources of images share: arrays of one shape, scaled and cropped, grey or colour; and what labels mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Self

import numpy as np
from PIL import Image
from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.datasets._damage import sound
from robustbench_lite.datasets._labels import Labelled, Labels
from robustbench_lite.datasets._pictures import decoders, picture
from robustbench_lite.datasets._room import check_pixels
from robustbench_lite.datasets._said import say
from robustbench_lite.datasets.base import DataSource, Samples
from robustbench_lite.datasets.selection import chosen
from robustbench_lite.datasets.stream import Decoder, Images, Reader, Stream
from robustbench_lite.errors import DataError
from robustbench_lite.registry import fingerprint

__all__ = ["ImageSource", "arrays"]

_KEPT = 256 * 2**20  # bytes of decoded pixels of a dataset that are kept; those of a larger one are decoded each time
_FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1}


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
    damaged: Literal["refuse", "skip"] = Field(
        "refuse",
        description="Files that are no images, or only part of one; skip: those next in rank take their places.",
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
        reader: Reader,
        *,
        sortable: bool = False,
        warnings: Iterable[str] = (),
        decided: Iterable[str] = (),
    ) -> Samples:
        """The selection among the samples that have labels; `reader` is asked for images at places, here or later.

        `decided`: how pixels were made, where the reader cannot say it.

        Raises DataError.
        """
        left_out: tuple[str, ...] = ()
        if self.damaged == "skip":
            choose = lambda called, some: [some.kept[i] for i in self._chosen(called, ids, some)]
            labels, left_out = sound(what, ids, labels, reader, choose, self._key())
        index = self._chosen(what, ids, labels)
        places = [labels.kept[i] for i in index]
        decoder = Decoder(what, reader, places)
        stream = Stream(decoder, np.array(places), self._key())
        kept = stream.nbytes <= _KEPT
        pixels = stream[:] if kept else stream
        return Samples(
            what,
            tuple(ids[place] for place in places),
            pixels,
            labels.labels[index],
            labels.classes,
            naming=labels.naming,
            present=labels.present,
            sortable=sortable and (self.labels is None or self._only_leaves_out()),
            warnings=(*warnings, *left_out, *(decoder.doubts if kept else ())),
            decided=(*decided, *self._counted_from(what), *(stream.notes if kept else ())),
        )

    def _counted_from(self, what: str) -> tuple[str, ...]:
        start = self.labels.get("from") if isinstance(self.labels, dict) else None
        return () if start is None else (f"{what}: labels are counted from {start} in the data, from 0 here",)

    def _chosen(self, what: str, ids: Sequence[str], labels: Labelled) -> list[int]:
        return chosen(self, what, [ids[place] for place in labels.kept], labels.labels)

    def _key(self) -> str:
        """What the pixels of the samples depend on, beside the bytes that their ids are hashes of."""
        options = [self.size, self.resize, self.interpolation, self.trim, self.channels, self.background]
        return fingerprint([type(self).__name__, options, decoders(), _code()])

    def _only_leaves_out(self) -> bool:
        return isinstance(self.labels, dict) and all(new is None for new in self.labels.values())

    def picture(self, name: str, data: bytes) -> Images:
        """(C, H, W) from encoded bytes. Raises DataError where they are no image."""
        return self.fitted(picture(name, data, self.background), name)

    def refitted(self, reader: Reader) -> Reader:
        """Images (C, H, W) under the same options."""
        if (self.size, self.resize, self.trim, self.channels) == (None, None, False, None):
            return reader
        return reader.then(lambda image, name: self.fitted(as_picture(image), name))

    def fitted(self, image: Image.Image, name: str = "an image") -> Images:
        """(C, H, W) of a picture in mode L or RGB: trimmed, grey or colour, scaled and cropped."""
        if self.trim and (box := image.getbbox()):
            image = image.crop(box)
        if self.channels is not None:
            mode = "L" if self.channels == 1 else "RGB"
            if image.mode != mode:
                say("colour" if mode == "L" else "grey")
            image = image.convert(mode)
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


def arrays(images: Images, what: str) -> Reader:
    """Images (N, C, H, W) that are in memory, or mapped to it."""
    return Reader(
        lambda places: ((f"{what}: image {i}", images[i]) for i in places), lambda _, image: image, quick=True
    )


@cache
def _code() -> str:
    """Hash of our own files that make pixels of bytes."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
