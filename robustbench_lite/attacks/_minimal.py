"""What attacks that look for the smallest perturbation share: a look at the iterates, and where to begin."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._losses import Loss, climbed, likeliest
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State
from robustbench_lite.engine.card import Promise
from robustbench_lite.engine.oracle import Pass
from robustbench_lite.lazy import torch
from robustbench_lite.threat.box import shortest_within
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, size
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.threat.ties import rounding

if TYPE_CHECKING:
    from robustbench_lite.threat.draws import Draw

__all__ = ["Look", "Search", "Smallest", "boundary", "cosine", "free", "look", "progress", "second"]

_BEYOND = 1e-3  # of the gap: a step to the boundary goes a little further; whole numbers (l0) do so anyway


@dataclass
class Search(State):
    """The iterates, and the radii (n,) they are held to: a run from the nearest boundary, then one from the image."""

    adv: torch.Tensor  # (n, C, H, W) the iterate that the next step evaluates
    taken: torch.Tensor  # (n,)
    epsilon: torch.Tensor  # (n,)
    later: torch.Tensor  # (n, C, H, W) the first iterate of the second run
    reach: torch.Tensor  # (n,) its radius; inf: there is only one run

    @classmethod
    def fresh(cls, x: torch.Tensor, goal: Goal, draw: Draw) -> Self:
        """At the images x (n, C, H, W), with radii of 1."""
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return cls(x, goal, draw, x, count.float(), count.bool(), x, count, count + 1.0, x, count + float("inf"))


@dataclass
class Look:
    """What a step sees of its iterates (n, C, H, W): whether they reach the goal, how large they are, the way uphill.

    `gap` (n,) is the margin in the goal's direction, `slope` (n,) the l2 norm of the gradient of the loss.
    """

    reached: torch.Tensor
    size: torch.Tensor
    gap: torch.Tensor
    gradient: torch.Tensor
    slope: torch.Tensor

    @property
    def score(self) -> torch.Tensor:
        """(n,) the size of what reaches the goal; of what does not, how far it is from that."""
        return torch.where(self.reached, self.size, -self.gap)

    @property
    def spotless(self) -> torch.Tensor:
        """(n,) the image itself reaches the goal: nothing to do."""
        return self.reached & (self.size == 0)


class Smallest(StepAttack):
    minimal: ClassVar[bool] = True

    steps: PositiveInt = Field(100, description="Gradient steps.")
    candidates: PositiveInt | None = Field(
        10,
        ge=2,
        description=(
            "Begin at the nearest boundary of the linearisation at the image, of so many of the likeliest classes, the "
            "own one included (one backward pass each); null: at the image, as in the paper."
        ),
    )

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps + (self.candidates or 0)

    @property
    def promise(self) -> Promise:
        return Promise(factor=self.card.factor, rivals=(self.candidates or 2) - 1)

    def onward(
        self, s: Search, seen: Look, adv: torch.Tensor, epsilon: torch.Tensor, tried: torch.Tensor, reach: torch.Tensor
    ) -> dict[str, Any]:
        """What the look says of the iterates; next comes adv (n, C, H, W), but first what is `tried`, if in `reach`."""
        first, again = reach.isfinite(), second(s, self.steps)
        return {
            "candidate": s.adv,
            "won": seen.reached,
            "score": seen.score,
            "done": seen.spotless | (s.taken >= self.steps),
            "adv": torch.where(per_row(first, adv), tried, torch.where(per_row(again, adv), s.later, adv)),
            "later": torch.where(per_row(first, adv), adv, s.later),
            "reach": torch.where(first, reach, s.reach),
            "epsilon": torch.where(again, s.reach, epsilon),
            "taken": s.taken + 1,
        }


def look(view: Pass, state: State, adv: torch.Tensor, norm: Norm, loss: Loss) -> Look:
    """A look at the iterates adv (n, C, H, W), of which the view is, uphill in the loss."""
    gradient, slope = view.gradient(climbed(loss, state.goal, view.logits)[1])
    reached = state.goal.secured(view.logits, torch.finfo(slope.dtype).eps * slope)
    return Look(reached, size(adv - state.x, norm), state.goal.margin(view.logits), gradient, slope)


def boundary(view: Pass, s: Search, norm: Norm, candidates: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, C, H, W) at the nearest boundary for rows that have not begun, and its distance (n,).

    inf: for other rows, and where no boundary is within the box.
    """
    tried, reach = s.later, torch.full_like(s.epsilon, float("inf"))
    at = (s.taken == 0).nonzero()[:, 0]
    if len(at) == 0 or candidates is None:
        return tried, reach
    part = view if len(at) == len(s.taken) else view.again(at)
    way, length = _nearest(part, rows(s.x, at), rows(s.goal, at), norm, candidates)
    return tried.index_copy(0, at, (s.x[at] + way).clamp_(0, 1)), reach.index_copy(0, at, length)


def progress(s: Search, steps: int) -> torch.Tensor:
    """How much (n,) of the run is done, of `steps` in one run or two."""
    half = (steps + 1) // 2
    return torch.where(s.reach.isfinite(), s.taken % half / half, s.taken / steps)


def second(s: Search, steps: int) -> torch.Tensor:
    """Whether (n,) the second run begins with the next step."""
    return (s.taken == (steps + 1) // 2) & s.reach.isfinite()


def _nearest(view: Pass, x: torch.Tensor, goal: Goal, norm: Norm, candidates: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The shortest way (n, C, H, W) within the box beyond a boundary of the linearisation at x, and its length (n,)."""
    others = likeliest(goal, view.logits, 1 if goal.targeted else min(candidates, goal.classes) - 1)
    own = goal.label[:, None]
    best, reach = torch.zeros_like(x), torch.full((len(x),), float("inf"), device=x.device)
    for rank in range(others.shape[1]):
        other = others[:, rank : rank + 1]
        leave, enter = (other, own) if goal.targeted else (own, other)
        high, low = (view.logits.gather(1, which)[:, 0] for which in (leave, enter))
        seed = torch.zeros_like(view.logits).scatter_(1, enter, 1.0).scatter_(1, leave, -1.0)
        gradient, slope = view.gradient(seed)
        hidden = rounding(high, low) + torch.finfo(slope.dtype).eps * slope
        gain = (high - low).clamp_min(0) * (1 + _BEYOND * (norm != "l0")) + 2 * hidden
        way = shortest_within(x, gradient, gain, norm)
        short = (gradient * way).flatten(1).sum(1) < gain * (1 - _BEYOND / 2)
        length = size(way, norm).masked_fill(short, float("inf"))
        nearer = length < reach
        best, reach = torch.where(per_row(nearer, x), way, best), torch.where(nearer, length, reach)
    return best, reach


def free(adv: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient (n, ...) without the numbers that stand at the box and would leave it."""
    return gradient.masked_fill(((adv <= 0) & (gradient < 0)) | ((adv >= 1) & (gradient > 0)), 0)


def cosine(first: float, last: float, share: torch.Tensor) -> torch.Tensor:
    """From first to last along half a cosine, at the share (n,) of the way."""
    return last + (first - last) * (1 + (pi * share.clamp_max(1)).cos()) / 2
