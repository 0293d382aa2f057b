"""The IDX files of MNIST and its relatives, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from robustbench_lite.dataset import Samples, datasets
from robustbench_lite.datasets.common import absent, find, pixel_ids
from robustbench_lite.datasets.decode import ImageSource
from robustbench_lite.datasets.labels import labelled
from robustbench_lite.datasets.pictures import is_pointer
from robustbench_lite.errors import DataError

__all__ = ["IDX", "read_idx"]

_STEM = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in one IDX file of unsigned bytes. Raises DataError for anything else."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if is_pointer(data):
        raise DataError(f"{path}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path}: expected an IDX file of unsigned bytes")
    ranks = data[3]
    shape = np.frombuffer(data, ">u4", ranks, 4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * ranks)
    if values.size != int(shape.prod()):
        raise DataError(f"{path}: expected {int(shape.prod())} bytes of data, got {values.size}; is it truncated?")
    return values.reshape(shape)


@datasets.register("idx")
class IDX(ImageSource):
    """A folder with the four IDX files of MNIST, Fashion-MNIST, KMNIST, ..."""

    idx: str = Field(description="Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz], or its parent.")
    split: Literal["train", "test"] = Field("test", description="Which half.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from absent("idx", self.idx, root)
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        folder = find(self.idx, root, "idx")
        pixels = read_idx(self._file(folder, "images-idx3-ubyte"))
        labels = read_idx(self._file(folder, "labels-idx1-ubyte"))
        if pixels.ndim != 3 or labels.ndim != 1 or len(pixels) != len(labels):
            raise DataError(f"{folder}: expected as many labels as images, got {len(labels)} for {pixels.shape}")
        images = pixels[:, None]
        known = labelled(labels.tolist(), self.labels, where=lambda i: f"{folder}: image {i}")
        return self.gather(self.idx, pixel_ids(images), known, lambda places: self.refitted(images[places]))

    def _file(self, folder: Path, tail: str) -> Path:
        name = f"{_STEM[self.split]}-{tail}"
        for place in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
        raise DataError(f"{folder}: no file {name}[.gz] there or in a folder raw/")
