"""How much a dataset may take, asked before anything of that size is allocated: a small file can claim anything."""

from __future__ import annotations

import os

from robustbench_lite.errors import DataError

__all__ = ["FILE", "PIXELS", "check_pixels", "check_room", "room"]

PIXELS = 64_000_000  # of one picture, before and after scaling; more is a bomb or a mistake
FILE = 2**30  # bytes of one file that is read whole
_MOST, _SHARE = 16 * 2**30, 4  # bytes of a dataset in memory, and of the machine's memory one in four


def room() -> int:
    """Bytes that the images of one dataset may take in memory, as they are or encoded."""
    return min(_MOST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _SHARE)


def check_room(size: int, what: str, advice: str) -> None:
    """Raises DataError where `size` bytes are more than there is room for."""
    if size > room():
        needed, taken, most = (f"{min(one, 2**60) / 2**30:,.1f} GiB" for one in (size, room(), _MOST))
        raise DataError(
            f"{what}: {needed} of memory would be needed, at most {taken} are taken (a quarter of the machine, no more "
            f"than {most}); {advice}"
        )


def check_pixels(width: int, height: int, what: str, why: str) -> None:
    """Raises DataError for a picture that is too large."""
    if width * height > PIXELS:
        raise DataError(f"{what}: {why}{width}x{height} pixels, at most {PIXELS} are decoded")
