"""The mean of a random classifier over draws of its own randomness (Athalye et al., https://arxiv.org/abs/1802.00420)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_lite.engine.mixture import mix
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.guards.generators import seeded

__all__ = ["Expectation"]


class Expectation(nn.Module):
    """Log of the mean of the net's probabilities over `draws` draws, for images (N, C, H, W): (N, K).

    Draw i starts every random generator at i, for every image anew and alone: what an image is given does not depend on
    its neighbours, its place or who asks, so gradients and verdicts are of one and the same function.
    """

    def __init__(self, net: nn.Module, draws: int) -> None:
        super().__init__()
        self.net, self.draws = net, draws

    def forward(self, x: Tensor) -> Tensor:
        return mix([self._draw(x, number) for number in range(self.draws)])

    def _draw(self, x: Tensor, number: int) -> Tensor:
        rows = []
        for row in range(len(x)):
            with seeded(number):
                rows.append(logits_of(self.net, x[row : row + 1]))
        return torch.cat(rows)
