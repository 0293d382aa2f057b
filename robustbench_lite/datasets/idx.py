"""The IDX files of MNIST and its relatives, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from robustbench_lite.datasets._decode import ImageSource, arrays
from robustbench_lite.datasets._labels import labelled
from robustbench_lite.datasets._paths import find, missing
from robustbench_lite.datasets._pictures import is_pointer
from robustbench_lite.datasets._room import check_room
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import regular
from robustbench_lite.threat.ids import pixel_ids

__all__ = ["IDX", "read_idx"]

_MAPPED = 32 * 2**20  # bytes from which on a file is mapped instead of read
_TAILS = ("images-idx3-ubyte", "labels-idx1-ubyte")
_STEM = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in one IDX file of unsigned bytes; a large one that is not compressed stays on the disk.

    Raises DataError for anything else.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(regular(path), "rb") as file:
            shape = _shape(path, file.read(4), file.read)
            size = math.prod(shape)
            check_room(size, str(path), "take a smaller file")
            if opened is open and size > _MAPPED:
                _check_size(path, size, path.stat().st_size - file.tell())
                return np.memmap(path, np.uint8, "r", file.tell(), shape)
            data = file.read(size + 1)  # of a bomb no more than it says it is
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    _check_size(path, size, len(data))
    return np.frombuffer(data, np.uint8).reshape(shape)


def _check_size(path: Path, size: int, found: int) -> None:
    """Raises DataError."""
    if found != size:
        got = f"{found}; is it truncated?" if found < size else "more"
        raise DataError(f"{path}: expected {size} bytes of data, got {got}")


def _shape(path: Path, magic: bytes, read: Callable[[int], bytes]) -> tuple[int, ...]:
    """What the head of the file says; `read` gives what follows the first four bytes. Raises DataError."""
    if magic[:3] != b"\0\0\x08" or len(magic) < 4:
        if is_pointer(magic + read(60)):
            raise DataError(f"{path}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
        raise DataError(f"{path}: expected an IDX file of unsigned bytes")
    sizes = read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path}: expected {magic[3]} sizes; is it truncated?")
    return struct.unpack(f">{magic[3]}I", sizes)


@datasets.register("idx")
class IDX(ImageSource):
    """A folder with the four IDX files of MNIST, Fashion-MNIST, KMNIST, ..."""

    idx: str = Field(description="Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz], or its parent.")
    split: Literal["train", "test"] = Field("test", description="Which half.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from missing("idx", lambda: [self._file(find(self.idx, root, "idx"), tail) for tail in _TAILS])
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        folder = find(self.idx, root, "idx")
        pixels, labels = (read_idx(self._file(folder, tail)) for tail in _TAILS)
        if pixels.ndim != 3 or labels.ndim != 1 or len(pixels) != len(labels):
            raise DataError(f"{folder}: expected as many labels as images, got {len(labels)} for {pixels.shape}")
        images = pixels[:, None]
        known = labelled(labels.tolist(), self.labels, where=lambda i: f"{folder}: image {i}")
        return self.gather(self.idx, pixel_ids(images), known, self.refitted(arrays(images, self.idx)))

    def _file(self, folder: Path, tail: str) -> Path:
        name = f"{_STEM[self.split]}-{tail}"
        for place in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
        raise DataError(f"{folder}: no file {name}[.gz] there or in a folder raw/")
