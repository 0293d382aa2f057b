"""Steps that several attacks take: uphill within ball and box, Adam for every sample, descent along a cosine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

from robustbench_lite.lazy import torch
from robustbench_lite.threat.box import climb
from robustbench_lite.threat.norms import Ball
from robustbench_lite.threat.rows import per_row

__all__ = ["Adam", "ascend", "descend", "last_only"]

_BETAS, _TINY = (0.9, 0.999), 1e-8  # Adam's own defaults


def last_only(done: torch.Tensor) -> torch.Tensor:
    """The score (n,) of iterates of which only the last of each row counts, when it is `done` (n,)."""
    return torch.where(done, 0.0, float("inf"))


def ascend(
    x: torch.Tensor,
    adv: torch.Tensor,
    gradient: torch.Tensor,
    taken: torch.Tensor,
    norm: Ball,
    epsilon: float,
    steps: int,
    length: float | None,
) -> torch.Tensor:
    """The iterate after one more of `steps` steepest steps from adv (n, C, H, W), `taken` (n,) of them done.

    In the ball of radius epsilon around x, and in the box. `length` of a step; null: 2.5 epsilon / steps.
    """
    return climb(x, adv, gradient, norm, length or 2.5 * epsilon / steps, epsilon, taken / steps)


@dataclass
class Adam:
    """Adam's moments (n, ...), a row per sample, for samples that began at different times (Kingma and Ba 2015)."""

    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def fresh(cls, like: torch.Tensor) -> Adam:
        """Nothing seen yet, for gradients like these (n, ...)."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def step(self, gradient: torch.Tensor, taken: torch.Tensor) -> tuple[torch.Tensor, Adam]:
        """The way (n, ...) of the step number `taken` (n,), from 1, along the gradient at a rate of 1; and moments."""
        first = torch.lerp(gradient, self.first, _BETAS[0])
        second = torch.lerp(gradient.square(), self.second, _BETAS[1])
        unbiased = [per_row(1 - beta ** taken.double(), first).to(first.dtype) for beta in _BETAS]
        return first / unbiased[0] / ((second / unbiased[1]).sqrt() + _TINY), Adam(first, second)

    def reset(self, which: torch.Tensor) -> Adam:
        """The rows where `which` (n,) holds start over."""
        return Adam(*(part.masked_fill(per_row(which, part), 0) for part in (self.first, self.second)))


def descend(
    x: torch.Tensor,
    gradient: Callable[[torch.Tensor, int], torch.Tensor],
    into: Callable[[torch.Tensor], torch.Tensor],
    *,
    steps: int,
    rate: float,
    signed: bool = False,
) -> torch.Tensor:
    """Where Adam, or steps along the gradient's sign, come to from x; their length falls from `rate` to 0 on a cosine.

    So the last steps average over many random gradients. `gradient(x, step)` is that of what is to become small, `into`
    brings x back to where it has to stay.
    """
    x = x.clone()
    optimizer = torch.optim.Adam([x], lr=rate)
    for step in range(steps):
        length = rate * (1 + cos(pi * step / steps)) / 2
        slope = gradient(x, step)
        if signed:
            x -= length * slope.sign()
        else:
            optimizer.param_groups[0]["lr"] = length
            x.grad = slope
            optimizer.step()
        x.copy_(into(x))
    return x.detach()
