"""The mean of a random classifier over draws of its own randomness (Athalye et al., https://arxiv.org/abs/1802.00420)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_lite.engine.mixture import mix
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.guards.foreign import told
from robustbench_lite.guards.generators import seeded
from robustbench_lite.guards.memory import is_out_of_memory

__all__ = ["Expectation"]

_TRIED = 2  # draws that are looked at before images go through in batches
_ROUNDING = 1e-3  # of the length of an image's logits
_KINKS = 0.05  # of that of its gradient, which a kink that is rounded to its other side moves


class Expectation(nn.Module):
    """Log of the mean of the net's probabilities over `draws` draws, for images (N, C, H, W): (N, K).

    Draw i starts every random generator at i, for every image anew and alone: what an image is given does not depend on
    its neighbours, its place or who asks, so gradients and verdicts are of one and the same function.

    After `try_batches` images go through together where the net allows it. It still sees each by itself (vmap), and the
    numbers that it draws are drawn once, in the shapes of a single image, and are the same for all.
    """

    def __init__(self, net: nn.Module, draws: int) -> None:
        super().__init__()
        self.net, self.draws = net, draws
        self.alone = "nobody has tried"  # why images go through one by one; empty: they do not

    def forward(self, x: Tensor) -> Tensor:
        return mix([self._draw(x, number) for number in range(self.draws)])

    def try_batches(self, x: Tensor) -> str:
        """From now on in batches, if images x (N, C, H, W) get the same answers so; why not, else nothing."""
        self.alone = ""
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            for number in range(_TRIED):
                together, alone = self._draw(leaf, number), self._one_by_one(leaf, number)
                self.alone = self.alone or _differ(leaf, together, alone)
        return self.alone

    def _draw(self, x: Tensor, number: int) -> Tensor:
        """Logits (N, K) of one draw."""
        if not self.alone:
            try:
                return self._together(x, number)
            except Exception as error:  # vmap refuses branches that depend on values, and layers that it does not know
                if is_out_of_memory(error):
                    raise
                self.alone = told(error)
        return self._one_by_one(x, number)

    def _together(self, x: Tensor, number: int) -> Tensor:
        def one(image: Tensor) -> Tensor:
            return logits_of(self.net, image[None])[0]

        with seeded(number):
            logits: Tensor = torch.vmap(one, randomness="same")(x)
        return logits

    def _one_by_one(self, x: Tensor, number: int) -> Tensor:
        rows = []
        for row in range(len(x)):
            with seeded(number):
                rows.append(logits_of(self.net, x[row : row + 1]))
        return torch.cat(rows)


def _differ(leaf: Tensor, one: Tensor, other: Tensor) -> str:
    """How two answers (N, K) on the images `leaf` differ by more than rounding; empty where they do not."""
    if one.shape != other.shape or not _close(one, other, _ROUNDING):
        return "its logits are others then"
    if one.requires_grad != other.requires_grad:
        return "its gradients are others then"
    if not one.requires_grad:
        return ""
    weights = torch.linspace(1, 2, one.shape[1], device=leaf.device)
    slope, usual = (torch.autograd.grad((z * weights).sum(), leaf)[0] for z in (one, other))
    return "" if _close(slope, usual, _KINKS) else "its gradients are others then"


def _close(one: Tensor, other: Tensor, share: float) -> bool:
    """Whether all rows (N, ...) are the same, up to a share of their lengths."""
    one, other = one.detach().flatten(1), other.detach().flatten(1)
    return bool(((one - other).norm(dim=1) <= share * other.norm(dim=1)).all())
