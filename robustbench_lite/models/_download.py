"""A file from the web, kept only where it is the one that is meant."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from robustbench_lite.errors import ModelError
from robustbench_lite.models.finish import sha256_of

__all__ = ["download"]

_LARGEST = 2**32  # bytes
_BLOCK = 2**20


def download(url: str, place: Path, sha256: str | None, what: str) -> None:
    """Fetch `place`. Raises ModelError where it cannot be had, is too large, or is not the one of `sha256`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        _copy(url, part)
        digest = sha256_of(part)
        if sha256 is None:
            raise ModelError(
                f"{what}: what was downloaded is not kept, for nothing says which file it must be; its sha256 is "
                f"{digest}: hold it against what its authors say, and state `sha256: {digest}`"
            )
        if digest != sha256.lower():
            raise ModelError(f"{what}: sha256 of what was downloaded is {digest}, expected {sha256}; it is not kept")
        part.replace(place)
    except (OSError, ValueError) as error:
        raise ModelError(f"{what}: cannot be downloaded ({type(error).__name__}: {error})") from None
    finally:
        part.unlink(missing_ok=True)


def _copy(url: str, part: Path) -> None:
    if not url.startswith("https://"):
        raise ValueError(f"expected https, got {url}")
    with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:  # noqa: S310  (https, see above)
        if not answer.url.startswith("https://"):
            raise ValueError(f"expected https, was led to {answer.url}")
        while block := answer.read(_BLOCK):
            file.write(block)
            if file.tell() > _LARGEST:
                raise ValueError(f"larger than {_LARGEST:,} bytes")
