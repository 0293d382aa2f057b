"""Encoded images are read as a person sees them, or refused by name."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.datasets._pictures import FORMATS, picture
from robustbench_lite.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
WIDE = GREY.astype(np.uint16) * 257  # the same levels in 16 bits
LOSSY = {"JPEG", "WEBP", "AVIF"}


def coded(image, kind="PNG", **options) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def merged(mode, *planes) -> Image.Image:
    return Image.merge(mode, [Image.fromarray(plane) for plane in planes])


def seen(data, background=None) -> np.ndarray:
    return np.asarray(picture("a.png", data, background))


FULL = np.full_like(GREY, 255)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (coded(GREY), GREY),
        (coded(GREY > 127), (GREY > 127) * 255),
        (coded(GREY > 127, "TIFF"), (GREY > 127) * 255),
        (coded(WIDE), GREY),
        (coded(WIDE, "TIFF"), GREY),
        (coded(WIDE.astype(np.int32), "PPM"), GREY),
        (coded(WIDE, "JPEG2000"), GREY),
        (coded(GREY.astype(np.float32) / 255, "TIFF"), GREY),
        (coded(np.full((2, 2), 0.5, np.float32), "TIFF"), np.full((2, 2), 128)),  # 127.5: halves up
        (coded(merged("LA", GREY, FULL)), GREY),
        (coded(merged("RGBA", *COLOUR.transpose(2, 0, 1), FULL)), COLOUR),
        (coded(merged("RGBA", *COLOUR.transpose(2, 0, 1), FULL), "TIFF"), COLOUR),
        (coded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), COLOUR),
        (coded(GREY // 2, transparency=255), GREY // 2),  # a transparent level that no pixel has
    ],
)
def test_the_same_levels_whatever_they_are_stored_in(data, expected):
    assert np.array_equal(seen(data), expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_the_list_is_read(kind):
    read = seen(coded(COLOUR, kind))
    assert read.shape == COLOUR.shape
    assert kind in LOSSY or np.array_equal(read, COLOUR)


def test_palettes_are_their_colours_and_every_suffix_has_a_format():
    indexed = Image.fromarray(COLOUR).quantize(8)
    for kind in ("PNG", "GIF"):
        assert np.array_equal(seen(coded(indexed, kind)), np.asarray(indexed.convert("RGB")))
    known = Image.registered_extensions()
    suffixes = [suffix for text in FORMATS.values() for suffix in text.split()]
    assert {known[suffix] for suffix in suffixes} <= {*FORMATS, "MPO"}


TURNS = {  # what lies in the file, so that a person sees the picture
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: np.rot90,
    7: lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
    8: lambda x: np.rot90(x, -1),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_the_cameras_orientation_is_undone(turn, kind):
    note = Image.Exif()
    note[0x0112] = turn
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(seen(coded(TURNS[turn](COLOUR).copy(), kind, exif=note, **options)), COLOUR)
    if kind == "PNG":
        assert np.array_equal(seen(coded(TURNS[turn](WIDE).copy(), exif=note)), GREY)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_refused_unless_something_lies_behind(mode, kind):
    """White with a picture in its alpha: a white page behind it shows nothing, a black one the picture."""
    planes = [FULL] * (len(mode) - 1)
    data = coded(merged(mode, *planes, GREY), kind, **({"lossless": True} if kind == "WEBP" else {}))
    with pytest.raises(DataError, match=r"a\.png: some pixels are transparent, .*`background: white`"):
        seen(data)
    last = (lambda x: x[..., 0]) if seen(data, "black").ndim == 3 else (lambda x: x)
    assert np.array_equal(last(seen(data, "black")), GREY)
    assert (seen(data, "white") == 255).all()


@pytest.mark.parametrize(
    "data",
    [
        coded(Image.fromarray(COLOUR).quantize(8), transparency=0),
        coded(COLOUR, transparency=tuple(COLOUR[0, 0].tolist())),
        coded(GREY, transparency=int(GREY[0, 0])),
    ],
)
def test_a_transparent_colour_is_transparency_too(data):
    with pytest.raises(DataError, match="some pixels are transparent"):
        seen(data)


def test_a_tiff_in_which_zero_is_white_is_turned_round():
    data = coded(WIDE, "TIFF")
    at = data.index((262).to_bytes(2, "little"))  # the tag PhotometricInterpretation, a short
    turned = data[: at + 8] + b"\0\0" + data[at + 10 :]
    assert np.array_equal(seen(turned), 255 - GREY)


NAN = np.full((2, 2), np.nan, np.float32)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (coded(GREY.astype(np.float32), "TIFF"), r"floating-point pixels from \d+ to \d+, expected \[0, 1\]"),
        (coded(GREY.astype(np.float32) - 300, "TIFF"), "floating-point pixels from -"),
        (coded(NAN, "TIFF"), "not finite"),
        (coded(WIDE.astype(np.int32), "TIFF"), "integers of 32 bits"),
        (coded(Image.new("LAB", (3, 3)), "TIFF"), "pixels of the kind LAB"),
        (coded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]), "holds 2 pictures"),
        (coded(GREY, "GIF", save_all=True, append_images=[Image.fromarray(255 - GREY)]), "holds 2 pictures"),
        (coded(GREY, "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)]), "holds 2 pictures"),
        (coded(GREY, "WEBP", save_all=True, append_images=[Image.fromarray(255 - GREY)]), "holds 2 pictures"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS.*`git lfs pull`"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "not a readable image"),
        (b"", "not a readable image"),
        (coded(COLOUR)[:60], "not a readable image"),
        (coded(COLOUR, "TIFF")[:60], "not a readable image"),
        (coded(COLOUR, "JPEG")[:200], "not a readable image"),
    ],
)
def test_what_cannot_be_seen_alike_is_refused_by_name(data, said):
    with pytest.raises(DataError, match=rf"^a\.png: .*{said}") as caught:
        seen(data)
    assert "0x" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_never_end_in_a_traceback():
    draw = np.random.default_rng(2)
    for kind in FORMATS:
        whole = coded(COLOUR, kind)
        for _ in range(15):
            broken = bytearray(whole)
            for place in draw.integers(0, len(broken), 4):
                broken[place] = draw.integers(256)
            with suppress(DataError):
                seen(bytes(broken))
