"""The IDX files of MNIST and its relatives, gzipped or not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from robustbench_lite.dataset import DataSource, Samples, datasets
from robustbench_lite.datasets.common import find, pixel_ids, select
from robustbench_lite.errors import DataError

__all__ = ["IDX", "read_idx"]

_STEM = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in one IDX file of unsigned bytes. Raises DataError for anything else."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path}: expected an IDX file of unsigned bytes")
    ranks = data[3]
    shape = np.frombuffer(data, ">u4", ranks, 4).astype(int)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * ranks)
    if values.size != int(shape.prod()):
        raise DataError(f"{path}: expected {int(shape.prod())} bytes of data, got {values.size}; is it truncated?")
    return values.reshape(shape)


@datasets.register("idx")
class IDX(DataSource):
    """A folder with the four IDX files of MNIST, Fashion-MNIST, KMNIST, ..."""

    idx: str = Field(description="Folder with {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz], or its parent.")
    split: Literal["train", "test"] = Field("test", description="Which half.")

    def load(self, root: Path) -> Samples:
        folder = find(self.idx, root, "idx")
        pixels = read_idx(self._file(folder, "images-idx3-ubyte"))
        labels = read_idx(self._file(folder, "labels-idx1-ubyte")).astype(np.int64)
        if pixels.ndim != 3 or len(pixels) != len(labels):
            raise DataError(f"{folder}: expected as many labels as images, got {len(labels)} for {pixels.shape}")
        images = pixels[:, None]
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
        return select(self, Samples(self.idx, pixel_ids(images), images, labels, classes))

    def _file(self, folder: Path, tail: str) -> Path:
        name = f"{_STEM[self.split]}-{tail}"
        for place in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
        raise DataError(f"{folder}: no file {name}[.gz] there or in a folder raw/")
