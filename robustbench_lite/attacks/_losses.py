"""What gradient attacks climb: cross-entropy, the margin, and the difference of logits ratio, with their slopes."""

from __future__ import annotations

from typing import Literal

from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal

__all__ = ["Loss", "climbed", "likeliest", "no_ratio"]

Loss = Literal["ce", "margin", "dlr"]

_TINY = 1e-12  # the ratio's denominator where the largest logits are equal


def climbed(
    loss: Loss, goal: Goal, logits: torch.Tensor, rival: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss (n,), larger is nearer to the goal, and its gradient in the logits (n, K).

    `rival` (n,): the one class that an untargeted attack tries to make win; None: whichever is next. `ce` is the
    log-odds, a monotone function of cross-entropy. DLR of too few classes for it is the margin (`no_ratio`).
    """
    if loss == "ce":
        return goal.ascent(logits)
    away, toward = _pair(goal, logits, rival)
    gap = (logits.gather(1, toward) - logits.gather(1, away))[:, 0]
    seed = torch.zeros_like(logits).scatter_(1, toward, 1.0).scatter_add_(1, away, -torch.ones_like(gap)[:, None])
    towards_one = goal.targeted or rival is not None
    if loss == "margin" or no_ratio(logits.shape[1], towards_one=towards_one):
        return gap, seed
    return _ratio(logits, gap, seed, towards_one=towards_one)


def no_ratio(classes: int, *, towards_one: bool) -> bool:
    """Whether there are too few classes for the difference of logits ratio: 3 are needed, 4 towards one class."""
    return classes < (4 if towards_one else 3)


def likeliest(goal: Goal, logits: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` classes (n, count) other than the label's that are the likeliest, the first one first."""
    return logits.scatter(1, goal.label[:, None], float("-inf")).topk(count, dim=1).indices


def _pair(goal: Goal, logits: torch.Tensor, rival: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The class to leave and the class to reach (n, 1) each."""
    own = goal.label[:, None]
    if rival is not None and not goal.targeted:
        return own, rival[:, None]
    other = likeliest(goal, logits, 1)
    return (other, own) if goal.targeted else (own, other)


def _ratio(
    logits: torch.Tensor, gap: torch.Tensor, seed: torch.Tensor, *, towards_one: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gap over how far the largest logit lies above the third, or above the mean of the third and the fourth."""
    weights = torch.tensor([1.0, 0.0, -0.5, -0.5] if towards_one else [1.0, 0.0, -1.0], device=logits.device)
    largest = logits.topk(len(weights), dim=1)
    below = (largest.values * weights).sum(1).clamp_min(_TINY)
    slope = torch.zeros_like(logits).scatter_(1, largest.indices, weights.expand_as(largest.values))
    return gap / below, (seed - (gap / below)[:, None] * slope) / below[:, None]
