"""Ensemble attacks by optimisation (Liu et al., https://arxiv.org/abs/1611.02770)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks._steps import Adam, last_only
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.engine.protocol import Sources
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import per_row

__all__ = ["Ensemble"]


@dataclass
class EnsembleState(State):
    adv: torch.Tensor  # the iterate
    taken: torch.Tensor  # (n,)
    adam: Adam  # (n, optimisers, C, H, W)


@attacks.register("ensemble")
class Ensemble(StepAttack):
    """Adam on the mean of several classifiers' probabilities; the last iterate is the adversarial image."""

    card: ClassVar[Card] = Card(
        title="Ensemble attack by optimisation",
        paper="Liu et al., Delving into Transferable Adversarial Examples and Black-box Attacks, ICLR 2017",
        arxiv="1611.02770",
        protocol=(
            "Non-targeted: minimise -log(1 - p_y), targeted: -log p_t, p the weighted mean of the sources' softmax "
            "probabilities, plus lambda times the distance (lambda 0 in all their tables, so that the learning rate "
            "alone governs the distortion). Adam from the clean image, 100 iterations, no early stop, final iterate. "
            "Data: samples that all classifiers get right."
        ),
        deviations=(
            "Losses are computed from log-probabilities and stay finite, with a gradient, where p_y rounds to 1; the "
            "released code adds 1e-6 instead.",
            "Every iterate is projected to [0, 1]; the released code clips the final image only.",
            "update: joint, the default, is one Adam on the mean, as the paper's equations have it. update: summed is "
            "the released code: an Adam of its own for every source on that source's loss, the updates added.",
        ),
    )
    version: ClassVar[int] = 2
    changes: ClassVar[tuple[str, ...]] = ("lr",)

    sources: Sources | None = Field(
        "leave_one_out",
        description="The classifiers that the attacker sees: leave_one_out, all, single, a list of names; null: own.",
    )
    weights: tuple[Number, ...] | None = Field(
        None, description="Shares of the sources in the mean, in the order of `sources`; null: equal."
    )
    steps: PositiveInt = Field(100, description="Adam iterations.")
    lr: Number = Field(8 / 255, gt=0, description="Adam's learning rate, for images in [0, 1].")
    penalty: Number = Field(
        0.0, ge=0, description="Lambda: weight of the RMSD (on the 0-255 scale) in what is minimised."
    )
    update: Literal["joint", "summed"] = Field(
        "joint", description="One Adam on the mean of the probabilities, or one per source with their updates summed."
    )

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        if self.weights is None:
            return self
        if min(self.weights, default=0) <= 0:
            raise ValueError("weights: expected positive numbers")
        if self.update == "summed" or self.sources in {None, "single", "leave_one_out"}:
            raise ValueError("weights: only with update: joint, and sources: all or a list of names")
        return self

    @property
    def shares(self) -> tuple[float, ...] | None:
        return self.weights

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps

    @property
    def promise(self) -> Promise:
        return Promise(reach=max(1 / 255, self.lr * self.steps / 2))  # Adam's steps are no longer than its rate

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> EnsembleState:
        optimisers = goal.members if self.update == "summed" else 1
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        adam = Adam.fresh(x[:, None].expand(-1, optimisers, -1, -1, -1))
        return EnsembleState(x, goal, draw, x, count.float(), count.bool(), x, count, adam)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, EnsembleState)
        victims = oracle.each() if self.update == "summed" else [oracle]
        gradient = torch.stack([self._gradient(victim, state) for victim in victims], 1)
        taken = state.taken + 1
        ways, adam = state.adam.step(gradient, taken)
        adv = (state.adv - self.lr * ways.sum(1)).clamp_(0, 1)
        done = taken >= self.steps
        score = last_only(done)
        changes: dict[str, Any] = {"adv": adv, "taken": taken, "adam": adam}
        return replace(state, candidate=adv, score=score, done=done, **changes)

    def _gradient(self, oracle: Oracle, state: EnsembleState) -> torch.Tensor:
        """Gradient (n, C, H, W) of the loss, the penalty included."""
        view = oracle.differentiate(state.adv)
        gradient, _ = view.gradient(state.goal.nll(view.logits)[1])
        if self.penalty:
            r = state.adv - state.x
            length = size(r, "l2").clamp_min(1e-30) * r[0].numel() ** 0.5
            gradient = gradient + self.penalty * 255 * r / per_row(length, r)
        return gradient
