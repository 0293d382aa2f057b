"""Decoupled direction and norm (Rony et al., https://arxiv.org/abs/1811.09600), in l2."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from robustbench_lite.attacks._minimal import Search, Smallest, boundary, cosine, free, look, progress
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import steepest_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, steepest
from robustbench_lite.threat.rows import per_row

__all__ = ["DDN"]


@attacks.register("ddn")
class DDN(Smallest):
    """Steps uphill, and sets the size of the perturbation apart: smaller after a success, larger after a failure."""

    card: ClassVar[Card] = Card(
        title="Decoupled direction and norm",
        paper="Rony et al., Decoupling Direction and Norm for Efficient Gradient-Based L2 Attacks, CVPR 2019",
        arxiv="1811.09600",
        protocol=(
            "`steps` normalised gradient steps on cross-entropy, the step size falling from 1 to 0.01 along a cosine; "
            "after each the perturbation is scaled to a size that is (1 - gamma) times the last after a success, else "
            "(1 + gamma) times."
        ),
        deviations=(
            "Two runs of half the steps, from the nearest boundary of the linearisation and, with a perturbation of "
            "the same size, from the image (candidates: null: one run, with a size of 1).",
            "gamma falls to a tenth along a cosine: the end is as exact as that.",
            "A perturbation is scaled within the box: where it stops a number, the others go further. The paper clips.",
            "No rounding to 8 bits in between; the judge looks at that.",
            "The direction is that of the log-odds: cross-entropy's own, which does not underflow.",
        ),
        factor=1.02,
    )
    threat: ClassVar[Norm] = "l2"

    gamma: Number = Field(0.05, gt=0, lt=1, description="Share by which the size changes; it falls to a tenth.")

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> Search:
        return Search.fresh(x, goal, draw)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, Search)
        view = oracle.differentiate(state.adv)
        seen = look(view, state, state.adv, "l2", "ce")
        tried, reach = boundary(view, state, "l2", self.candidates)
        share = progress(state, self.steps)
        gamma = cosine(self.gamma, self.gamma / 10, share)
        epsilon = state.epsilon * torch.where(seen.reached, 1 - gamma, 1 + gamma)
        epsilon = torch.where(reach.isfinite(), reach, torch.where(state.taken == 0, state.epsilon, epsilon))
        length = cosine(1.0, 0.01, share)
        way = state.adv - state.x + per_row(length, state.x) * steepest(free(state.adv, seen.gradient), "l2")
        adv = (state.x + steepest_within(state.x, way, "l2", epsilon)).clamp_(0, 1)
        return replace(state, **self.onward(state, seen, adv, epsilon, tried, reach))
