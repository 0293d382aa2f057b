"""Encoded images to arrays of one shape: decoding guarded against bombs, resize and centre crop, grey or colour."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from pydantic import Field, PositiveInt

from robustbench_lite.dataset import DataSource
from robustbench_lite.errors import DataError

__all__ = ["EncodedSource", "opened"]

_LARGEST = 64_000_000  # pixels; more is a bomb or a mistake
_FILTERS = {"nearest": 0, "bilinear": 2, "bicubic": 3, "lanczos": 1}


class EncodedSource(DataSource):
    """Options of the sources that hold PNG or JPEG files."""

    size: PositiveInt | None = Field(None, description="Side of the centre crop; null: the images as they are.")
    resize: PositiveInt | None = Field(None, description="First scale the shorter side to this; null: to `size`.")
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field(
        "bilinear", description="Filter of the scaling."
    )
    trim: bool = Field(default=False, description="First cut off what is exactly black on the four sides.")
    channels: Literal[1, 3] | None = Field(None, description="Convert to grey or colour; null: as the images are.")

    def decode_all(self, files: Iterable[tuple[str, bytes]]) -> npt.NDArray[np.uint8]:
        """(N, C, H, W) from (name, encoded bytes). Raises DataError where shapes differ or a file is no image."""
        images = [(name, self._decode(name, data)) for name, data in files]
        shapes = {image.shape: name for name, image in images}
        if len(shapes) > 1:
            (one, first), (other, second) = list(shapes.items())[:2]
            raise DataError(
                f"images differ in shape: {first} is {_text(one)}, {second} is {_text(other)}; "
                "set size (and channels) on the dataset"
            )
        return np.stack([image for _, image in images])

    def _decode(self, name: str, data: bytes) -> npt.NDArray[np.uint8]:
        image = opened(name, data)
        if self.trim and (box := image.convert("RGB").getbbox()):
            image = image.crop(box)
        grey = self.channels == 1 or (self.channels is None and image.mode in {"1", "L"})
        array = np.asarray(self._crop(image.convert("L" if grey else "RGB")))
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _crop(self, image: Image.Image) -> Image.Image:
        if self.size is None:
            return image
        scale = (self.resize or self.size) / min(image.size)
        if scale != 1:
            width, height = (max(self.size, round(side * scale)) for side in image.size)
            image = image.resize((width, height), _FILTERS[self.interpolation])
        left, top = (round((side - self.size) / 2) for side in image.size)
        return image.crop((left, top, left + self.size, top + self.size))


def opened(name: str, data: bytes) -> Image.Image:
    """The picture in encoded bytes, guarded against bombs. Raises DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of bombs up to twice its limit
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > _LARGEST:
                raise DataError(f"{name}: {image.width}x{image.height} pixels, at most {_LARGEST} are decoded")
            image.load()
    except DataError:
        raise
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Warning,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"{name}: not a readable image ({error})") from None
    return image


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
