"""Encoded bytes to a picture of 8 bits, grey or colour, as a person sees it; what cannot be seen alike is refused.

Only formats of photographs are tried: Pillow would hand a file that calls itself PostScript to Ghostscript.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError, features

from robustbench_lite.datasets._reader import UnreadableError
from robustbench_lite.datasets._room import check_pixels
from robustbench_lite.datasets._said import say
from robustbench_lite.errors import DataError

__all__ = ["FORMATS", "SUFFIXES", "decoders", "floats_to_levels", "is_pointer", "picture"]

# format of Pillow -> its usual suffixes
FORMATS = {
    "PNG": ".png .apng",
    "JPEG": ".jpg .jpeg .jpe .jfif .mpo",  # some telephones append previews of the picture
    "JPEG2000": ".jp2 .j2k .jpc .jpf .jpx .j2c",
    "BMP": ".bmp",
    "DIB": ".dib",
    "GIF": ".gif",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "TIFF": ".tif .tiff",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "TGA": ".tga",
    "PCX": ".pcx",
    "SGI": ".sgi .rgb .bw",
    "QOI": ".qoi",
}
SUFFIXES = frozenset(" ".join(FORMATS.values()).split())
_LIBRARIES = ("jpg", "libjpeg_turbo", "jpg_2000", "zlib", "libtiff", "webp", "avif")
_ORIENTATION = 0x0112  # the tag of EXIF; 1 is upright
_BEHIND = {"white": 255, "black": 0}
_GREY = {"1", "L", "LA", "La", "F", "I"}
_COLOUR = {"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr"}


def picture(name: str, data: bytes, background: str | None = None) -> Image.Image:
    """The picture in encoded bytes, in mode L or RGB, upright; `background` lies behind what is transparent.

    Raises DataError for what is no picture, and for one that a person would see otherwise than numbers say.
    """
    image = _opened(name, data)
    try:
        # orientation is a note of the camera in the file; copies in other modes lose it
        upright = ImageOps.exif_transpose(image)
        if image.getexif().get(_ORIENTATION, 1) in range(2, 9):
            say("turned")
        return _eight_bits(name, upright, image, background)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  (decoders of damaged files fail in every way there is)
        raise UnreadableError(f"{name}: not a readable image ({_reason(error)})") from None


def _opened(name: str, data: bytes) -> Image.Image:
    """The first frame, decoded, guarded against bombs. Raises DataError."""
    if is_pointer(data):
        raise DataError(f"{name}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
    try:
        with _quiet():
            image = Image.open(io.BytesIO(data), formats=_readable())
            check_pixels(image.width, image.height, name, "")
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                raise DataError(f"{name}: holds {frames} pictures, expected one; save each as a file of its own")
            if _colours_of_sixteen(image):
                say("upper")
            image.load()
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  (decoders of damaged files fail in every way there is)
        raise UnreadableError(f"{name}: not a readable image ({_reason(error)})") from None
    return image


def _colours_of_sixteen(image: Image.Image) -> bool:
    """Whether Pillow is about to keep the upper bytes of what lies in the file: it has no mode for more."""
    if image.mode.startswith(("I", "F")):
        return False
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    return ";16" in raw or (image.format == "PPM" and max(_numbers(raw), default=0) > 255)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", text)]


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of odd metadata. Filters belong to all threads, so that only the main one may change them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decoders() -> list[str | None]:
    """What else decides on the pixels of a file: Pillow, and the libraries that it was built with."""
    return [PIL.__version__, *(features.version(name) for name in _LIBRARIES)]


@cache
def _readable() -> list[str]:
    """Of FORMATS those that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(_readable())}"
    return (str(error) or type(error).__name__).splitlines()[0]


def is_pointer(data: bytes) -> bool:
    """Whether Git LFS left a note in the place of a file."""
    return data.startswith(b"version https://git-lfs.github.com/spec/")


def _eight_bits(name: str, image: Image.Image, original: Image.Image, background: str | None) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        return _from_sixteen(name, image, original)
    if mode == "F":
        levels = floats_to_levels(name, np.asarray(image))
        say("floats")
        return Image.fromarray(255 - levels if _negative(original) else levels)
    if mode not in _GREY | _COLOUR:
        raise DataError(f"{name}: pixels of the kind {mode}, expected grey or colours; save it as RGB")
    if image.has_transparency_data or mode in {"La", "RGBa"}:
        image = _opaque(name, image, background)
    if mode in {"CMYK", "YCbCr"}:
        say(mode.lower())
    return image.convert("L" if mode in _GREY else "RGB")


def _from_sixteen(name: str, image: Image.Image, original: Image.Image) -> Image.Image:
    """Grey of 16 bits (or as many as a TIFF says) to 8: the nearest level, white stays white."""
    values = np.asarray(image).astype(np.int64)
    bits, signed = 16, False
    if original.format == "TIFF":
        tags = original.tag_v2  # type: ignore[attr-defined]
        bits, signed = int(_first(tags.get(258, 16))), _first(tags.get(339, 1)) == 2
    white = 2**bits - 1
    if signed or bits > 16 or values.min() < 0 or values.max() > white:
        raise DataError(
            f"{name}: {'signed ' if signed else ''}integers of {bits} bits, expected grey of 8 or 16 bits; save it so"
        )
    if "transparency" in image.info:
        raise DataError(f"{name}: a transparent level in grey of 16 bits is not supported; save it with 8 bits")
    if _negative(original):
        values = white - values
    say("sixteen")
    return Image.fromarray(((values * 510 + white) // (2 * white)).astype(np.uint8))


def _negative(original: Image.Image) -> bool:
    """Whether 0 is white: Pillow turns that round for 8 bits, but not for more."""
    tags = getattr(original, "tag_v2", None)
    return tags is not None and tags.get(262) == 0


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def floats_to_levels(name: str, values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Numbers in [0, 1] as levels of 8 bits, halves up. Raises DataError for any other range."""
    if not np.isfinite(values).all():
        raise DataError(f"{name}: floating-point pixels that are not finite, expected [0, 1]; save it anew")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise DataError(f"{name}: floating-point pixels from {low:.4g} to {high:.4g}, expected [0, 1]; scale them")
    return np.floor(values.astype(np.float64) * 255 + 0.5).astype(np.uint8)


def _opaque(name: str, image: Image.Image, background: str | None) -> Image.Image:
    """Without the alpha channel: nothing is lost where all is opaque; else `background` lies behind."""
    grey = image.mode in _GREY
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    if alpha.getextrema() != (255, 255):
        if background is None:
            raise DataError(
                f"{name}: some pixels are transparent, and what a person sees depends on what lies behind; "
                "say `background: white` or `background: black` on the dataset"
            )
        behind = Image.new("RGBA", whole.size, (_BEHIND[background],) * 3 + (255,))
        whole = Image.alpha_composite(behind, whole)
        say(background)
    return whole.convert("L" if grey else "RGB")
