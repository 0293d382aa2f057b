"""Where files of data may lie, and their bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from robustbench_lite.datasets._room import FILE
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import contents

__all__ = ["absent", "find", "missing", "read_file"]


def read_file(path: Path) -> bytes:
    """The bytes of a regular file that is not too large. Raises DataError."""
    try:
        return contents(path, FILE)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def absent(option: str, path: str, root: Path) -> Iterator[tuple[str, str]]:
    """(option, sentence) where nothing lies at `path`."""
    return missing(option, lambda: find(path, root, option))


def missing(option: str, look: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """(option, sentence) where looking for files raises DataError."""
    try:
        look()
    except DataError as error:
        yield option, str(error)


def find(path: str, root: Path, what: str) -> Path:
    """`path` as it is, under the suite's folder, or under ROBUSTBENCH_LITE_DATA. Raises DataError that says so."""
    places = [root / path, Path.cwd() / path]
    if data := os.environ.get("ROBUSTBENCH_LITE_DATA"):
        places.append(Path(data) / path)
    for place in places:
        if place.exists():
            return place
    raise DataError(
        f"{what}: no file or folder '{path}' under the suite's folder, the current folder or ROBUSTBENCH_LITE_DATA; "
        "put the data there, or set ROBUSTBENCH_LITE_DATA"
    )
