"""Fast minimum-norm attack (Pintor et al., https://arxiv.org/abs/2102.12827), in l0, l1, l2 and linf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from robustbench_lite.attacks._minimal import Look, Search, Smallest, boundary, cosine, free, look, progress
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import nearest_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import dual_size, project, steepest
from robustbench_lite.threat.rows import per_row

__all__ = ["FMN"]


@dataclass
class FMNState(Search):
    best: torch.Tensor  # (n,) size of the smallest success; inf: none yet


@attacks.register("fmn")
class FMN(Smallest):
    """Steps uphill and back into a ball that shrinks after a success and grows after a failure."""

    card: ClassVar[Card] = Card(
        title="Fast minimum-norm attack",
        paper="Pintor et al., Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints, NeurIPS 2021",
        arxiv="2102.12827",
        protocol=(
            "`steps` normalised gradient steps on the difference of logits, each followed by projection on a ball "
            "whose radius is the linearised distance to the boundary until the first success, then (1 - gamma) or "
            "(1 + gamma) times the last; step size and gamma fall along a cosine. l0: numbers, each channel by itself."
        ),
        deviations=(
            "Two runs of half the steps, from the nearest boundary of the linearisation and from the image "
            "(candidates: null: one run, as in the paper).",
            "The projection is on ball and box together, and numbers that stand at the box are left out of a step; the "
            "paper projects on the ball and clips.",
        ),
        factor=1.02,
    )

    norm: Literal["l2", "linf", "l1", "l0"] = Field("l2", description="Norm that is minimised.")
    step_size: Number | None = Field(
        None, gt=0, description="l2 length of the first step; it falls to a hundredth. null: 1, in linf 10."
    )
    gamma: Number = Field(0.05, gt=0, lt=1, description="Share by which the radius changes; it falls to a fiftieth.")

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> FMNState:
        search = Search.fresh(x, goal, draw)
        zero = torch.zeros_like(search.epsilon)
        return FMNState(**vars(search) | {"epsilon": zero, "best": zero + float("inf")})

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, FMNState)
        view = oracle.differentiate(state.adv)
        seen = look(view, state, state.adv, self.norm, "margin")
        best = torch.where(seen.reached, state.best.minimum(seen.size), state.best)
        tried, reach = boundary(view, state, self.norm, self.candidates)
        epsilon = torch.where(reach.isfinite(), reach, self._radius(state, seen, best))
        adv = state.x + self._perturbation(state, seen, epsilon)
        return replace(state, best=best, **self.onward(state, seen, adv, epsilon, tried, reach))

    def _radius(self, s: FMNState, seen: Look, best: torch.Tensor) -> torch.Tensor:
        """The radius (n,) of the next ball: lines 5 to 13 of the paper's algorithm."""
        gamma = cosine(self.gamma, self.gamma / 50, progress(s, self.steps))
        smaller, larger = s.epsilon * (1 - gamma), s.epsilon * (1 + gamma)
        if self.norm == "l0":  # by one number at least
            smaller, larger = smaller.floor().minimum(s.epsilon - 1), larger.floor().maximum(s.epsilon + 1)
            return torch.where(seen.reached, smaller.minimum(best), larger).clamp_min(1)
        ahead = seen.size - seen.gap / dual_size(seen.gradient, self.norm).clamp_min(1e-12)
        larger = torch.where(best.isfinite(), larger, ahead.maximum(larger))  # a tie is no distance
        return torch.where(seen.reached, smaller.minimum(best), larger)

    def _perturbation(self, s: FMNState, seen: Look, epsilon: torch.Tensor) -> torch.Tensor:
        """The next perturbation (n, C, H, W): a step uphill, brought back into ball and box."""
        first = self.step_size or (10.0 if self.norm == "linf" else 1.0)
        length = cosine(first, first / 100, progress(s, self.steps))
        r = s.adv - s.x + per_row(length, s.x) * steepest(free(s.adv, seen.gradient), "l2")
        if self.norm == "l0":
            return (s.x + project((s.x + r).clamp(0, 1) - s.x, "l0", epsilon)).clamp_(0, 1) - s.x
        return nearest_within(s.x, r, self.norm, epsilon)
