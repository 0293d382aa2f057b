"""Sigma-zero (Cinà et al., https://arxiv.org/abs/2402.01879), in l0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._minimal import Look, Search, Smallest, boundary, cosine, look, progress, second
from robustbench_lite.attacks._steps import Adam
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, size
from robustbench_lite.threat.rows import per_row

__all__ = ["SigmaZero"]


@dataclass
class SigmaZeroState(Search):
    tau: torch.Tensor  # (n,) what is smaller than this is set to 0
    moments: Adam
    steps: torch.Tensor  # (n,) of this run


@attacks.register("sigma_zero")
class SigmaZero(Smallest):
    """Descends on the difference of logits plus a smooth count of changed numbers, and drops the small ones."""

    card: ClassVar[Card] = Card(
        title="Sigma-zero",
        paper="Cinà et al., sigma-zero: Gradient-based Optimization of l0-norm Adversarial Examples, ICLR 2025",
        arxiv="2402.01879",
        protocol=(
            "`steps` steps on max(f, 0) + mean of d^2 / (d^2 + sigma), the gradient divided by its linf norm, the step "
            "size falling to a tenth along a cosine; after each, numbers below a threshold become 0, which rises after "
            "a success and falls after a failure. The size counts numbers, each channel by itself."
        ),
        deviations=(
            "Steps are Adam's, as in the authors' code.",
            "Two runs of half the steps, from the nearest boundary of the linearisation and from the image "
            "(candidates: null: one run, as in the paper).",
        ),
    )
    threat: ClassVar[Norm] = "l0"

    steps: PositiveInt = Field(300, description="Gradient steps.")
    step_size: Number = Field(1.0, gt=0, description="Of the first step, in units of a full pixel.")
    sigma: Number = Field(1e-3, gt=0, description="How smooth the count is: a change of its root counts for a half.")
    threshold: Number = Field(0.3, gt=0, lt=1, description="The first threshold, in units of a full pixel.")
    adjustment: Number = Field(0.01, gt=0, description="Share of the step size by which the threshold changes.")

    @property
    def promise(self) -> Promise:
        exact = self.candidates is not None  # what it tries first is the answer where the classifier is linear
        return Promise(factor=1.0 + 1e-6 if exact else float("inf"), rivals=(self.candidates or 2) - 1)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> SigmaZeroState:
        search = Search.fresh(x, goal, draw)
        tau = torch.full_like(search.epsilon, self.threshold)
        return SigmaZeroState(**vars(search), tau=tau, moments=Adam.fresh(x), steps=search.taken)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, SigmaZeroState)
        view = oracle.differentiate(state.adv)
        seen = look(view, state, state.adv, "l0", "margin")
        tried, reach = boundary(view, state, "l0", self.candidates)
        adv, tau, moments = self._descend(state, seen)
        anew = second(state, self.steps) | reach.isfinite()
        return replace(
            state,
            tau=torch.where(anew, self.threshold, tau),
            moments=moments.reset(anew),
            steps=torch.where(anew, 0, state.steps + 1),
            **self.onward(state, seen, adv, state.epsilon, tried, reach),
        )

    def _descend(self, s: SigmaZeroState, seen: Look) -> tuple[torch.Tensor, torch.Tensor, Adam]:
        """The next iterates (n, C, H, W), thresholds (n,) and moments: lines 4 to 14 of the paper's algorithm."""
        delta = s.adv - s.x
        square = delta.square()
        slope = 2 * self.sigma / delta[0].numel() * delta / (square + self.sigma).square()
        slope = slope - seen.gradient * per_row(~seen.reached, delta)
        slope = slope / per_row(size(slope, "linf").clamp_min(1e-12), delta)
        way, moments = s.moments.step(slope, s.steps + 1)
        length = cosine(self.step_size, self.step_size / 10, progress(s, self.steps))
        delta = (s.adv - per_row(length, way) * way).clamp_(0, 1) - s.x
        tau = (s.tau + torch.where(seen.reached, 1.0, -1.0) * self.adjustment * length).clamp(0, 1)
        kept = delta.masked_fill(delta.abs() < per_row(tau, delta), 0)
        return (s.x + kept).clamp_(0, 1), tau, moments
