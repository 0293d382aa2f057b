"""Improved precision and recall, https://arxiv.org/abs/1904.06991: points near enough to one of the other kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robustbench_lite.generators.metrics.jackknife import group_of, groups
from robustbench_lite.lazy import torch

__all__ = ["PrecisionRecall", "precision_recall", "within"]

_NEAR = 64  # neighbours that are kept, so that enough of them are left without a group


@dataclass(frozen=True)
class PrecisionRecall:
    """The share of generated points among the real ones, and of real points among the generated ones."""

    precision: float
    recall: float


def precision_recall(real: torch.Tensor, generated: torch.Tensor, k: int = 3) -> PrecisionRecall:
    """Of features (n, d) and (m, d); among others is what is as near to one of them as its own k-th neighbour is."""
    return PrecisionRecall(within(generated, real, k)[0], within(real, generated, k)[0])


def within(points: torch.Tensor, others: torch.Tensor, k: int = 3, rows: int = 1000) -> list[float]:
    """The share of points that lie in the manifold of the others: of all, then without each group of both."""
    radii = torch.cat([_radii(part, others, k) for part in torch.split(others, rows)], 1)
    sizes = range(min(groups(len(points)), groups(len(others))))
    mine, theirs = group_of(len(points)), group_of(len(others))
    for g in sizes:
        radii[1 + g, theirs == g] = -1.0  # nobody is near to who is not there
    radii = radii[: 1 + len(sizes)]
    near = (torch.cdist(part, others) for part in torch.split(points, rows))
    inside = torch.cat([torch.stack([(far <= own).any(1) for own in radii]) for far in near], 1).double()
    return [float(inside[0].mean()), *(float(inside[1 + g, mine != g].mean()) for g in sizes)]


def _radii(part: torch.Tensor, others: torch.Tensor, k: int) -> torch.Tensor:
    """How far the k-th neighbour of each is (1 + groups, rows): of all others, and without each group."""
    near = torch.cdist(part, others).topk(min(_NEAR, len(others)), largest=False)
    marks = group_of(len(others))[near.indices]
    each = [near.values, *(near.values.masked_fill(marks == g, math.inf) for g in range(groups(len(others))))]
    return torch.stack([one.kthvalue(k + 1, 1).values for one in each])
