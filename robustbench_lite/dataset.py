"""What a dataset is: `Samples` in memory, and `DataSource`, the record that a suite's `data:` entry becomes.

One source per file in `datasets/`. Images are uint8 here; the executor turns them into float32 in [0, 1].
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt

from robustbench_lite.registry import Config, Registry

__all__ = ["DataSource", "Samples", "datasets", "rank"]


@dataclass(frozen=True)
class Samples:
    """Images (N, C, H, W) uint8, true labels (N,) int64, sample ids (content hashes), class names."""

    dataset: str
    ids: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    scene: object | None = None  # how an object lies in the images, where they are photographs of one

    def __len__(self) -> int:
        return len(self.ids)


def rank(sample: str) -> str:
    """The sort key of hash ranking: n=100 is a subset of n=1000, whatever the order of the files."""
    return hashlib.sha256(f"robustbench_lite:{sample}".encode()).hexdigest()


class DataSource(Config, ABC):
    """A dataset and the selection from it, as declared in a suite."""

    samples: PositiveInt | None = None  # how many, by hash rank; null: all
    stratified: bool = False  # the same number from every class
    keep: Literal["all", "correct_by_all"] = "all"  # applied by the executor, recorded in the cells

    @abstractmethod
    def load(self, root: Path) -> Samples:
        """The selected samples in hash-rank order; relative paths are tried under `root`. Raises DataError."""

    def fetch(self, root: Path) -> None:
        """Download what is missing, on a connected machine; most sources have nothing to download."""


datasets: Registry[DataSource] = Registry("data source", "robustbench_lite.datasets")
