"""What a critic is shown as real: batches depend on the seed and their number alone, so a restart has the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from robustbench_lite.datasets.base import Samples, datasets, padded
from robustbench_lite.errors import DataError, UsageError
from robustbench_lite.generators.mixture import Mixture
from robustbench_lite.generators.recipe import Recipe
from robustbench_lite.lazy import torch
from robustbench_lite.registry import fingerprint

__all__ = ["Data", "Images", "Points", "data_of", "loaded", "number_of", "stream"]


def number_of(seed: int, purpose: str, step: int) -> int:
    """Where random numbers of one purpose begin in one step, the same after a restart."""
    return int(fingerprint([seed, purpose, step], 15), 16)


def stream(seed: int, purpose: str, step: int) -> torch.Generator:
    """Random numbers of one purpose in one step."""
    return torch.Generator().manual_seed(number_of(seed, purpose, step))


class Data(Protocol):
    """Batch number `number` of a training, images in [-1, 1] or points."""

    def batch(self, number: int) -> torch.Tensor: ...


@dataclass(frozen=True)
class Images:
    """Every image once in an epoch, in an order of its own."""

    pixels: torch.Tensor  # (N, C, H, W) uint8
    batch_size: int
    seed: int

    def batch(self, number: int) -> torch.Tensor:
        epoch, place = divmod(number, len(self.pixels) // self.batch_size)
        rows = _order(self.seed, epoch, len(self.pixels))[place * self.batch_size :][: self.batch_size]
        return self.pixels[rows].float() / 127.5 - 1


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> torch.Tensor:
    return torch.randperm(n, generator=stream(seed, "order", epoch))


@dataclass(frozen=True)
class Points:
    """Fresh points of a mixture."""

    mixture: Mixture
    batch_size: int
    seed: int

    def batch(self, number: int) -> torch.Tensor:
        return self.mixture.draw(self.batch_size, stream(self.seed, "points", number))


def data_of(todo: Recipe, root: Path) -> Data:
    """What recipe `todo` trains on; relative paths are tried under `root`. Raises DataError."""
    if (mixture := todo.mixture) is not None:
        return Points(mixture, todo.batch_size, todo.seed)
    pixels = np.concatenate([loaded(entry, root, todo.pad).images for entry in todo.train])
    if pixels.shape[1:] != todo.size or len(pixels) < todo.batch_size:
        raise DataError(
            f"recipe {todo.name}: expected at least {todo.batch_size} images of size {list(todo.size)}, "
            f"got {len(pixels)} of {list(pixels.shape[1:])}"
        )
    return Images(torch.from_numpy(pixels), todo.batch_size, todo.seed)


def loaded(entry: dict[str, Any], root: Path, pad: int = 0) -> Samples:
    """The images that an entry {idx: MNIST, split: train} means, on a canvas. Raises UsageError, DataError."""
    kind = next((key for key in entry if key in datasets), None)
    if kind is None:
        raise UsageError(f"recipe: expected one of {', '.join(datasets)} in {entry}")
    return padded(datasets.build(kind, entry, "recipe").load(root), pad)
