"""Improved precision and recall, https://arxiv.org/abs/1904.06991: points near enough to one of the other kind."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_lite.lazy import torch

__all__ = ["PrecisionRecall", "precision_recall"]


@dataclass(frozen=True)
class PrecisionRecall:
    """The share of generated points among the real ones, and of real points among the generated ones."""

    precision: float
    recall: float


def precision_recall(real: torch.Tensor, generated: torch.Tensor, k: int = 3) -> PrecisionRecall:
    """Of features (n, d) and (m, d); among others is what is as near to one of them as its own k-th neighbour is."""
    return PrecisionRecall(_inside(generated, real, k), _inside(real, generated, k))


def _inside(points: torch.Tensor, others: torch.Tensor, k: int, rows: int = 1000) -> float:
    """The share of points that lie in the manifold of the others."""
    radii = torch.cat([torch.cdist(part, others).kthvalue(k + 1, 1).values for part in torch.split(others, rows)])
    inside = [(torch.cdist(part, others) <= radii).any(1) for part in torch.split(points, rows)]
    return float(torch.cat(inside).double().mean())
