"""What was decided about pixels, as files hold them otherwise than classifiers see them: said once, with a count.

Whoever decides says it to whoever listens in the same thread, so that no image is looked at twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["heard", "notes", "say"]

_SAID = {
    "turned": "turned upright, as their EXIF orientation says",
    "sixteen": "grey of more than 8 bits, rounded to the nearest of 256 levels",
    "upper": "colour of 16 bits, of which the upper 8 are kept",
    "floats": "floating-point, [0, 1] rounded to 256 levels",
    "cmyk": "CMYK, made RGB by (255 - C)(255 - K) / 255, without a colour profile",
    "ycbcr": "YCbCr, made RGB as JPEG has it",
    "white": "partly transparent, laid on white",
    "black": "partly transparent, laid on black",
    "grey": "grey, made colour by three equal channels",
    "colour": "colour, made grey by 0.299 R + 0.587 G + 0.114 B",
}
_ALL_ALIKE = {"grey", "colour"}  # worth saying where only some are: else it is what the option `channels` says
_HEARD: ContextVar[set[str] | None] = ContextVar("heard", default=None)


def say(what: str) -> None:
    """A change of the image that is being decoded: a key of the above."""
    heard = _HEARD.get()
    if heard is not None:
        heard.add(what)


@contextmanager
def heard() -> Iterator[set[str]]:
    """What is said meanwhile in this thread."""
    told = set[str]()
    token = _HEARD.set(told)
    try:
        yield told
    finally:
        _HEARD.reset(token)


def notes(what: str, counts: Mapping[str, int], n: int) -> tuple[str, ...]:
    """A sentence on every change, of so many of the n images of the dataset `what`."""
    told = [key for key in _SAID if counts.get(key) and not (key in _ALL_ALIKE and counts[key] == n)]
    return tuple(
        f"{what}: {counts[key]:,} of {n:,} images {'is' if counts[key] == 1 else 'are'} {_SAID[key]}" for key in told
    )
