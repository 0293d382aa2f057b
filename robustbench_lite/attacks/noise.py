"""Random noise of the size of a budget: the control beside attacks (as in https://arxiv.org/abs/1610.08401)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.access import Access
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import stretched_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal

__all__ = ["Noise"]


@dataclass
class NoiseState(State):
    tried: torch.Tensor  # (n,) draws that the classifier was asked about


@attacks.register("noise")
class Noise(StepAttack):
    """Random noise, scaled to the whole budget; the first of several draws that succeeds counts."""

    card: ClassVar[Card] = Card(
        title="Random noise",
        paper="Moosavi-Dezfooli et al., Universal adversarial perturbations, CVPR 2017, has it as a control",
        arxiv="1610.08401",
        protocol=(
            "Independent numbers, uniform or Gaussian, scaled so that what is left of them in [0, 1] has the size "
            "epsilon; up to `draws` of them per image, until one succeeds."
        ),
        deviations=(
            "A control, not an attack: what it breaks, any attack of the same size must break.",
            "linf: numbers that the box stops are not made up for by others.",
        ),
    )
    access: ClassVar[Access] = "labels"

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm in which epsilon is measured.")
    epsilon: Number = Field(8 / 255, gt=0, description="Size of the noise, for images in [0, 1].")
    kind: Literal["uniform", "gaussian"] = Field("uniform", description="Distribution of every number.")
    draws: PositiveInt = Field(1, description="Tries per image at most.")

    @property
    def typical_passes(self) -> float:
        return float(self.draws)

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"))

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> NoiseState:
        tried = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return NoiseState(x, goal, draw, x, tried.float(), tried.bool(), tried)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, NoiseState)
        candidate = self._noisy(state.x, state.draw, state.tried)
        reached = oracle.reached(candidate, state.goal)
        tried = state.tried + 1
        return replace(state, candidate=candidate, won=reached, done=reached | (tried >= self.draws), tried=tried)

    def _noisy(self, x: torch.Tensor, draw: Draw, step: torch.Tensor) -> torch.Tensor:
        """The images (n, C, H, W) with the noise of that draw (n,) on them."""
        shape = tuple(x.shape[1:])
        if self.kind == "gaussian":
            direction = draw.normal("noise", shape, step)
        else:
            direction = 2 * draw.uniform("noise", shape, step) - 1
        return (x + stretched_within(x, direction, self.norm, self.epsilon)).clamp_(0, 1)
