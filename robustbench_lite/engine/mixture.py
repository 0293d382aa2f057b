"""Several classifiers as one: the weighted mean of their softmax probabilities (Liu et al., 1611.02770)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustbench_lite.engine.oracle import logits_of

__all__ = ["Mixture", "mix"]


def mix(logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Logarithm of sum_i a_i softmax(logits_i), (N, K) from M logits (N, K); shares a sum to 1, None: equal.

    Log-probabilities are logits too, and everything stays finite where a classifier is certain in float32.
    """
    share = torch.tensor([1.0] * len(logits) if weights is None else list(weights), dtype=torch.float64)
    log_share = (share / share.sum()).log().to(logits[0]).view(-1, 1, 1)
    return (torch.stack([z.log_softmax(1) for z in logits]) + log_share).logsumexp(0)


class Mixture(nn.Module):
    """`mix` of the members' logits for images (N, C, H, W); the mean is over probabilities, not over logits."""

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        return mix([logits_of(member, x) for member in self.members], self.weights)
