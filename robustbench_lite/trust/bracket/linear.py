"""Linear classifiers with boundaries where they are wanted, and how far these are from images, box and all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, dual_size
from robustbench_lite.trust.bracket.exact import Slope
from robustbench_lite.trust.bracket.recipes import N, Recipe, Task

__all__ = ["Linear", "Radii", "distances", "fitted"]

_ROUNDS = 12  # in which the classifier is fitted: how far an image may grow depends on the classifier
# how far the nearest boundaries are: as a share of what the attack promises to reach, and of what nobody can
_WITHIN = (0.02, 0.2, 0.4, 0.55, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99)
_BEYOND = (1.03, 1.05, 1.08, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
_NATS = 4.0  # the smallest logit gap where there are many classes


@dataclass(frozen=True)
class Linear:
    """Logits (n, K) of images (n, C, H, W), computed in the weights' own dtype: W x + b."""

    weight: torch.Tensor  # (K, D)
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1).to(self.weight.dtype)
        return torch.nn.functional.linear(flat, self.weight, self.bias)

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """The same without rounding."""
        return x.flatten(1).double() @ self.weight.double().T + self.bias.double()


@dataclass(frozen=True)
class Radii:
    """Where the nearest boundaries are to lie (N,), and which of them within what an attack promises."""

    at: torch.Tensor
    within: torch.Tensor

    @classmethod
    def wanted(cls, size: float, factor: float, blur: float) -> Radii:
        """Half of them within and half beyond, in no order that has to do with classes."""
        within = torch.tensor(_WITHIN).double() * (size - blur) / (factor if math.isfinite(factor) else 2.0)
        both = torch.cat([within, torch.tensor(_BEYOND).double() * (size + blur)])
        order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
        return cls(both[order], order < len(within))


def fitted(
    recipe: Recipe,
    task: Task,
    base: torch.Tensor,
    x: torch.Tensor,
    own: torch.Tensor,
    rival: torch.Tensor,
    radii: Radii,
) -> Linear:
    """The classifier nearest to `base` (K, D) whose boundaries lie at the radii (N,), about."""
    lengths = recipe.spread ** torch.linspace(0, 1, recipe.classes).double()
    plus = torch.cat([x, torch.ones(N, 1, dtype=torch.float64)], 1)
    through = torch.linalg.solve(plus @ plus.T + 1e-9 * torch.eye(N), plus)  # (N, D + 1): the least change
    both = torch.cat([base, torch.zeros(recipe.classes, 1)], 1)
    for _ in range(_ROUNDS):
        gaps = _gaps(both[:, :-1], x, own, rival, radii, task)
        wanted = -gaps - (-gaps / lengths**2).sum(1, keepdim=True) / (1 / lengths**2).sum()
        both = both + (wanted - plus @ both.T).T @ through
    nearest = gaps.gather(1, rival[:, None])
    scale = recipe.gap / nearest.median()
    if recipe.classes > 2:  # else a loss with a softmax in it leads away from all at once, not to the nearest
        scale = scale.maximum(_NATS / nearest.min())
    both = both * scale
    if recipe.off:
        both[recipe.classes // 2, -1] -= 1e9
    dtype: torch.dtype = getattr(torch, recipe.dtype)
    return Linear(both[:, :-1].to(dtype), both[:, -1].to(dtype))


def _gaps(
    w: torch.Tensor,
    x: torch.Tensor,
    own: torch.Tensor,
    rival: torch.Tensor,
    radii: Radii,
    task: Task,
) -> torch.Tensor:
    """The logit gaps (N, K) below the own class that put the rival's boundary at its radius, others beyond."""
    n, classes, radius = len(x), len(w), radii.at

    def slope(k: torch.Tensor, *, straight: bool = False) -> Slope:
        return Slope(x, w[k] - w[own], task.norm, task.boxed, straight)

    if task.several:
        generator = torch.Generator().manual_seed(1)
        times = 1.05 + torch.rand((n, classes), generator=generator).double()
        length = torch.linalg.vector_norm(w, dim=1)
        times = times.masked_fill(length[None] < length[own][:, None] / 1.2, 1.5)  # or the short ones would grow long
        away = radius[:, None] * times + 0.3 * radius.median()  # only one is near to a very near one
        away.scatter_(1, rival[:, None], radius[:, None])
        every = [slope(torch.full_like(own, k)).gain(away[:, k]) for k in range(classes)]
        return torch.stack(every, 1).scatter(1, own[:, None], 0.0)
    gap = slope(rival).gain(radius)
    if task.straight:
        gap = torch.where(radii.within, slope(rival, straight=True).gain(radius), gap)
    length = _lengths(w, own, task.norm)
    far = (1.3 * gap + 0.3 * gap.median())[:, None] * (length / length.gather(1, rival[:, None])).clamp_min(1)
    return far.scatter(1, rival[:, None], gap[:, None]).scatter(1, own[:, None], 0.0)


def distances(module: Linear, x: torch.Tensor, goal: Goal, task: Task, *, promised: bool) -> torch.Tensor:
    """The exact radii (N,): to the nearest boundary, or that to the target; promised: as far as the attack looks."""
    z, label = module.exact(x), goal.label[:, None]
    gap = (z - z.gather(1, label)) if goal.targeted else (z.gather(1, label) - z)
    looked_at = torch.ones_like(gap, dtype=torch.bool).scatter(1, label, value=False)
    if promised and task.rivals is not None and not goal.targeted:
        others = z.masked_fill(~looked_at, float("-inf"))
        likely = others.topk(min(task.rivals, z.shape[1] - 1), dim=1).indices
        looked_at = torch.zeros_like(looked_at).scatter(1, likely, value=True)
    flat, w = x.flatten(1).double(), module.weight.double()
    sign = -1 if goal.targeted else 1

    def radius(row: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """To where class k (m,) and the label's are equal, of the images in these rows (m,)."""
        toward = sign * (w[k] - w[goal.label[row]])
        return Slope(flat[row], toward, task.norm, task.boxed, promised and task.straight).radius(gap[row, k])

    bound = gap.clamp_min(0) / _lengths(w, goal.label, task.norm).clamp_min(1e-300)  # without a box; never farther
    if goal.targeted:  # every other class must fall behind
        row, k = ((bound > 0) & looked_at).nonzero(as_tuple=True)
        return torch.zeros_like(gap).index_put((row, k), radius(row, k)).amax(1)
    bound = bound.masked_fill(~looked_at, float("inf"))
    nearest = radius(torch.arange(len(x)), bound.argmin(1))
    row, k = (bound < nearest[:, None]).nonzero(as_tuple=True)  # only these can be nearer still
    return nearest.scatter_reduce(0, row, radius(row, k), "amin") if len(row) else nearest


def _lengths(w: torch.Tensor, own: torch.Tensor, norm: Norm) -> torch.Tensor:
    """How steeply (N, K) each logit with gradients w (K, D) grows relative to the own class (N,)."""
    return torch.stack([dual_size(w[torch.full_like(own, k)] - w[own], norm) for k in range(len(w))], 1)
