"""What is not linear between two lines that are: a lower and an upper one, tight where nothing is undecided."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.parts import Maximum

__all__ = ["MaximumLines", "RectifierLines"]


@dataclass
class RectifierLines:
    """slope x <= max(x, 0) <= upper x + intercept, each (N, ...); any slope in [0, 1] is sound where it is `open`.

    CROWN (https://arxiv.org/abs/1811.00866) takes 0 or 1 as the lower slope, whichever leaves the smaller triangle.
    """

    slope: torch.Tensor
    upper: torch.Tensor
    intercept: torch.Tensor
    open: torch.Tensor

    @classmethod
    def between(cls, low: torch.Tensor, high: torch.Tensor) -> RectifierLines:
        """On the interval from `low` to `high` (N, ...)."""
        undecided, active = (low < 0) & (high > 0), low >= 0
        width = (high - low).clamp_min(torch.finfo(low.dtype).tiny)
        upper = torch.where(undecided, high / width, active.double())
        slope = torch.where(undecided, (high > -low).double(), active.double())
        return cls(slope, upper, torch.where(undecided, -upper * low, 0.0), undecided)

    def pull(self, w: torch.Tensor, owner: torch.Tensor, slope: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """A lower bound of w.max(x, 0) for rows w (R, ...) of images `owner`: v.x + c, as (v, c (R,)).

        `slope` (R, ...): what to take in place of the lower slope.
        """
        up, down = w.clamp_min(0), w.clamp_max(0)
        slope = self.slope[owner] if slope is None else slope
        return up * slope + down * self.upper[owner], (down * self.intercept[owner]).flatten(1).sum(1)


@dataclass
class MaximumLines:
    """x_best <= max_i x_i <= least + sum_i upper_i (x_i - low_i), or <= the largest upper end, whichever is lower.

    Each number above `least`, the largest of the lower ends, adds no more than the triangle of max(x_i - least, 0);
    where only one may be the largest, both lines are that number.
    """

    part: Maximum
    best: torch.Tensor  # (N, C, P, 1) which number of the window has the largest lower end
    upper: torch.Tensor  # (N, C, P, K)
    intercept: torch.Tensor  # (N, C, P)

    @classmethod
    def between(cls, part: Maximum, low: torch.Tensor, high: torch.Tensor) -> MaximumLines:
        """On the interval from `low` to `high` (N, C, H, W)."""
        ends, most = part.seen(low), part.seen(high)
        least, best = ends.max(3, keepdim=True)
        above = (most - least).clamp_min(0)
        upper = (above / (most - ends).clamp_min(torch.finfo(low.dtype).tiny)).masked_fill(above == 0, 0)
        alone = above.scatter(3, best, 0.0).amax(3, keepdim=True) == 0  # nobody else can be larger than this one
        upper = torch.where(alone, torch.zeros_like(upper).scatter(3, best, 1.0), upper)
        finite = ends.masked_fill(upper == 0, 0)
        lines = torch.where(alone[..., 0], 0.0, least[..., 0] - (upper * finite).sum(3))
        middle = ((upper * (finite + most.masked_fill(upper == 0, 0)) / 2).sum(3) + lines, most.amax(3))
        flat = ~alone[..., 0] & (middle[1] < middle[0])
        upper = upper.masked_fill(flat[..., None], 0)
        return cls(part, best, upper, torch.where(flat, middle[1], lines))

    def pull(self, w: torch.Tensor, owner: torch.Tensor, slope: torch.Tensor | None) -> tuple[torch.Tensor, ...]:  # noqa: ARG002
        """As that of `RectifierLines`; no slope is free."""
        w = w.flatten(2)
        down = w.clamp_max(0)
        each = down[..., None] * self.upper[owner]
        each = each.scatter_add(3, self.best[owner], w.clamp_min(0)[..., None])
        return self.part.gathered(each), (down * self.intercept[owner]).flatten(1).sum(1)
