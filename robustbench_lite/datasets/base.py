"""What a dataset is: `Samples`, and `DataSource`, the record that a suite's `data:` entry becomes.

One source per file in `datasets/`. Images are uint8 here; the executor turns them into float32 in [0, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from robustbench_lite.datasets._labels import Naming
from robustbench_lite.datasets.stream import Pixels, Stream
from robustbench_lite.errors import SuiteError, did_you_mean
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Records
from robustbench_lite.threat.setting import Setting

__all__ = ["DataSource", "Samples", "datasets", "images", "padded"]


@dataclass(frozen=True)
class Samples:
    """Images (N, C, H, W) uint8, true labels (N,) int64, sample ids (content hashes), class names.

    Images of a large dataset are decoded when they are asked for, `samples.images[places]`.

    What labels mean is said by `naming`: they are "numbers" of the classifier's classes, which `classes` only spells
    out; "both", numbers of which the data know the names; or "names", places in `classes` and nothing else.
    """

    dataset: str
    ids: tuple[str, ...]
    images: Pixels
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    scene: Setting | None = None  # where the images are textures or photographs of an object: how it is seen
    naming: Naming = "numbers"
    present: tuple[int, ...] = ()  # the labels that occur in the data, the selection aside; empty: those of `labels`
    sortable: bool = False  # "names": whether places in sorted order are class numbers, as in torchvision's ImageFolder
    warnings: tuple[str, ...] = ()  # what a reader of the results must know of the data
    decided: tuple[str, ...] = ()  # about pixels and labels, of which files hold others

    def __len__(self) -> int:
        return len(self.ids)

    def taken(self, index: slice | list[int]) -> Samples:
        """Some of them, in this order."""
        places = list(range(len(self)))[index] if isinstance(index, slice) else index
        images = self.images.taken(places) if isinstance(self.images, Stream) else self.images[places]
        return replace(self, ids=tuple(self.ids[i] for i in places), images=images, labels=self.labels[places])

    @property
    def doubts(self) -> tuple[str, ...]:
        """`warnings`, and what has shown since they were written, as images were decoded."""
        seen = self.images.decoder.doubts if isinstance(self.images, Stream) else ()
        return (*self.warnings, *seen)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about pixels, a sentence each; of a stream, once its images were decoded."""
        return (*self.decided, *(self.images.notes if isinstance(self.images, Stream) else ()))


def images(samples: Samples, places: torch.Tensor | slice | None = None) -> torch.Tensor:
    """The samples, or those at `places` (n,), as float32 (n, C, H, W) in [0, 1], on the CPU."""
    at = slice(None) if places is None else places if isinstance(places, slice) else places.numpy()
    return torch.from_numpy(samples.images[at]).float() / 255


def padded(samples: Samples, pad: int) -> Samples:
    """The same images with `pad` black pixels on every side; other images, so other ids and another dataset."""
    if not pad:
        return samples
    before, sides = samples.images, ((0, 0), (0, 0), (pad, pad), (pad, pad))
    images = before.padded(pad) if isinstance(before, Stream) else np.pad(before, sides)
    ids = tuple(f"{name}+{pad}" for name in samples.ids)
    return replace(samples, dataset=f"{samples.dataset} padded by {pad}", ids=ids, images=images)


class DataSource(Config, ABC):
    """A dataset and the selection from it, as declared in a suite."""

    samples: PositiveInt | None = Field(None, description="How many, by the rank of their hashes; null: all.")
    stratified: bool = Field(default=False, description="Whether every class gets the same number of them.")
    keep: Literal["all", "correct_by_all"] = Field(
        "all", description="correct_by_all: only samples that every classifier of the suite gets right."
    )
    fit_from: dict[str, Any] | None = Field(
        None, description="Another source of images, such as {idx: FOLDER, split: train}, for attacks that are fitted."
    )
    pad: NonNegativeInt = Field(
        0, description="Black pixels around each image: a canvas that no transform moves it out of."
    )

    @field_validator("fit_from")
    @classmethod
    def _a_source(cls, entry: dict[str, Any] | None) -> dict[str, Any] | None:
        if entry is not None:
            _source(entry)
        return entry

    @property
    def fit_source(self) -> DataSource | None:
        """The source that `fit_from` names."""
        return None if self.fit_from is None else _source(self.fit_from)

    @abstractmethod
    def load(self, root: Path) -> Samples:
        """The selected samples in hash-rank order; relative paths are tried under `root`. Raises DataError."""

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        if self.fit_source is not None:
            yield from (("fit_from", sentence) for _, sentence in self.fit_source.absent(root))

    def fetch(self, root: Path) -> None:
        """Download what is missing, on a connected machine; most sources have nothing to download."""


datasets: Records[DataSource] = Records("data source", "robustbench_lite.datasets")


def _source(entry: dict[str, Any]) -> DataSource:
    """The source of an entry {folder: ..., ...}. Raises ValueError."""
    kinds = [key for key in entry if key in datasets]
    if len(kinds) != 1:
        known = ", ".join(datasets)
        raise ValueError(f"expected one of {known} in it{did_you_mean(next(iter(entry), ''), datasets)}")
    try:
        return datasets.build(kinds[0], entry)
    except SuiteError as error:
        raise ValueError(str(error)) from None
