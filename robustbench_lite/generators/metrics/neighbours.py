"""Memorisation: are generated images nearer to the training images than other real images are?"""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_lite.generators.metrics.jackknife import ends, jackknifed
from robustbench_lite.lazy import torch

__all__ = ["Copying", "copying", "nearest"]


@dataclass(frozen=True)
class Copying:
    """`copies`: the share of generated images nearer to a training image than all but 1 in 1000 test images are;
    `nearer`: how often a generated image is nearer to its neighbour than a test image is to its own (0.5: alike).
    """

    copies: float
    nearer: float
    low: float  # of `nearer`, 95 %; NaN: too few images
    high: float


def nearest(images: torch.Tensor, pool: torch.Tensor, rows: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """l2 distance (n,) of each image (or row of features) to the nearest of the pool, and which that is."""
    flat = pool.flatten(1)
    found = [torch.cdist(part, flat).min(1) for part in torch.split(images.flatten(1), rows)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def copying(generated: torch.Tensor, train: torch.Tensor, apart: torch.Tensor) -> Copying:
    """In pixels, or in features where rows of those are given; `apart` (N,): how far test images are from training."""
    ours = nearest(generated, train)[0]
    low, high = ends(jackknifed(_nearer, ours, apart), highest=1.0)
    copies = float((ours < apart.sort().values.quantile(0.001)).double().mean())
    return Copying(copies, _nearer(ours, apart), low, high)


def _nearer(ours: torch.Tensor, apart: torch.Tensor) -> float:
    """How often one of ours (n,) is smaller than one of the others (N,)."""
    below = apart.sort().values
    less, equal = (torch.searchsorted(below, ours, right=right) for right in (False, True))
    return float(1 - (less + equal).double().mean() / (2 * len(below)))  # ties count half
