"""A dataset by name, for Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.datasets.base import datasets, images
from robustbench_lite.lazy import torch as lazy

if TYPE_CHECKING:
    import torch

__all__ = ["load"]


def load(name: str, samples: int | None = None, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of what a suite calls `name`, in the order of a run.

    A bundled dataset, one of torchvision, or `source:value` (docs/datasets.md) with the options of it; `samples`: how
    many, by hash rank. Raises SuiteError for an unknown name, DataError where it cannot be read.
    """
    from robustbench_lite.datasets.on_demand import NAMES  # with PIL and pyarrow

    kind, colon, value = name.partition(":")
    if not colon:
        kind, value = "on_demand" if name in NAMES else "bundled", name
    loaded = datasets.build(kind, {kind: value, "samples": samples, **options}).load(Path.cwd())
    return images(loaded), lazy.from_numpy(loaded.labels)
