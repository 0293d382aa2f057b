"""Datasets that torchvision knows how to download: CIFAR10, CIFAR100, MNIST, FashionMNIST, KMNIST, SVHN, GTSRB, ..."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from robustbench_lite.datasets._decode import ImageSource
from robustbench_lite.datasets._labels import labelled
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.stream import Images, Reader
from robustbench_lite.errors import DataError, did_you_mean
from robustbench_lite.guards.files import no_programs
from robustbench_lite.threat.ids import pixel_id, unique_ids

__all__ = ["Torchvision"]

_PLACES = {  # what torchvision unpacks, or keeps, of each
    "CIFAR10": ("cifar-10-batches-py",),
    "CIFAR100": ("cifar-100-python",),
    **{name: (f"{name}/raw",) for name in ("MNIST", "FashionMNIST", "KMNIST", "QMNIST")},
    "SVHN": ("test_32x32.mat", "train_32x32.mat"),
    "GTSRB": ("gtsrb",),
    "STL10": ("stl10_binary",),
}
_KNOWN = set(_PLACES)
_BY_SPLIT = {"SVHN", "GTSRB", "STL10"}  # these take split=, the others train=


@datasets.register("torchvision")
class Torchvision(ImageSource):
    """A dataset of torchvision, already downloaded; `fetch SUITE` downloads it."""

    torchvision: str = Field(description="Name of the class in torchvision.datasets.")
    root: str = Field("", description="Folder of the download; empty: ROBUSTBENCH_LITE_DATA, else ./data.")
    split: Literal["train", "test"] = Field("test", description="Which half.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        if self.torchvision not in _KNOWN:
            yield "torchvision", self._unknown()
        elif not any((self._folder(root) / place).exists() for place in _PLACES[self.torchvision]):
            yield "torchvision", self._missing(root)
        yield from super().absent(root)

    def fetch(self, root: Path) -> None:
        """Download; needs a connection."""
        try:
            self._open(root, download=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong checksum is a RuntimeError
            raise DataError(f"torchvision:{self.torchvision}: cannot be downloaded ({error})") from None

    def load(self, root: Path) -> Samples:
        no_programs()
        try:
            dataset = self._open(root, download=False)
        except (RuntimeError, FileNotFoundError, OSError):
            raise DataError(self._missing(root)) from None
        labels, found = list[int](), list[str]()
        for image, label in dataset:
            labels.append(int(label))
            found.append(pixel_id(_channels_first(np.asarray(image))))
        names = tuple(map(str, getattr(dataset, "classes", None) or ()))
        known = labelled(labels, self.labels, names, where=lambda i: f"{self.torchvision} {i}")
        reader = Reader(
            lambda places: ((f"{self.torchvision} {place}", place) for place in places),
            lambda name, place: self.fitted(dataset[place][0], name),
        )
        return self.gather(self.torchvision, unique_ids(found), known, reader)

    def _missing(self, root: Path) -> str:
        return (
            f"torchvision:{self.torchvision}: not found in {self._folder(root)}; run `fetch` on this suite where "
            "there is a connection, or point ROBUSTBENCH_LITE_DATA at a folder that has it"
        )

    def _unknown(self) -> str:
        return f"unknown torchvision dataset '{self.torchvision}'{did_you_mean(self.torchvision, _KNOWN)}"

    def _folder(self, root: Path) -> Path:
        return root / self.root if self.root else Path(os.environ.get("ROBUSTBENCH_LITE_DATA", "data"))

    def _open(self, root: Path, *, download: bool) -> Any:
        from torchvision import datasets as known  # seconds of import, paid only by those who use it

        if self.torchvision not in _KNOWN:
            raise DataError(self._unknown())
        half = {"split": self.split} if self.torchvision in _BY_SPLIT else {"train": self.split == "train"}
        return getattr(known, self.torchvision)(root=str(self._folder(root)), download=download, **half)


def _channels_first(image: Images) -> Images:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
