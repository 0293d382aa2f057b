"""Projected gradient descent (Madry et al., https://arxiv.org/abs/1706.06083)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks._losses import Loss, climbed, likeliest
from robustbench_lite.attacks._steps import ascend
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle, Pass
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import sample
from robustbench_lite.threat.rows import per_row, rows

__all__ = ["PGD"]


@dataclass
class PGDState(State):
    adv: torch.Tensor  # the iterate that the next step evaluates
    taken: torch.Tensor  # (n,) gradient steps since the last restart
    restart: torch.Tensor  # (n,)
    rivals: torch.Tensor  # (n, targets) the classes aimed at in turn, the likeliest where a row began; -1: not yet


@attacks.register("pgd")
class PGD(StepAttack):
    """Steepest ascent on a loss inside a ball around the image, from a random start."""

    card: ClassVar[Card] = Card(
        title="Projected gradient descent",
        paper="Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018",
        arxiv="1706.06083",
        protocol="Random start in the ball, `steps` steepest-ascent steps on cross-entropy, projection after each.",
        deviations=(
            "The ascent direction is that of the log-odds: cross-entropy's own, which does not vanish when the softmax "
            "saturates in float32.",
            "l2 and l1: numbers that stand at the box are left out of a step, and the projection is on ball and box "
            "together (l2). l1: a step is spread over the 5 % of the numbers with the largest gradients, in the last "
            "40 % of the steps over as few as can take it; what exceeds the ball is taken where it gains least.",
            "loss and targets: beside the paper's cross-entropy, the difference of logits (Carlini and Wagner 2017) or "
            "its ratio (Croce and Hein 2020), and restarts aimed at the likeliest classes (Gowal et al. 2019).",
            "smoothing: gradients at random points around the iterate, also outside the box, as the mean of many is "
            "the gradient of a smoothed loss (Wu et al. 2018, arXiv:1802.09707); one in each step, ever nearer.",
            "With stop: success, a sample leaves at its first misclassified iterate: the verdict of the full run at "
            "a fraction of its cost.",
        ),
    )
    changes: ClassVar[tuple[str, ...]] = ("epsilon", "step_size")

    version: ClassVar[int] = 2
    later: ClassVar[tuple[tuple[str, ...], ...]] = (("loss",), ("targets",), ("smoothing",))

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")
    steps: PositiveInt = Field(40, description="Gradient steps of each restart.")
    step_size: Number | None = Field(None, gt=0, description="Size of a step in the norm; null: 2.5 epsilon / steps.")
    random_start: bool = Field(default=True, description="Start at a uniform point of the ball, else at the image.")
    restarts: PositiveInt = Field(1, description="Independent runs; the best candidate of all counts.")
    loss: Loss = Field(
        "ce", description="What is climbed: cross-entropy, the margin, or the difference of logits ratio (3 classes)."
    )
    targets: PositiveInt = Field(
        1,
        description="Untargeted: each restart once for so many of the likeliest classes, aimed at them; 1: at none.",
    )
    smoothing: Number = Field(
        0,
        ge=0,
        description=(
            "Take each gradient at a random point around the iterate, in a ball that begins so many times as large as "
            "epsilon and has shrunk to nothing by the last step: it leads off plateaus. 0: at the iterate."
        ),
    )
    stop: Literal["success", "never"] = Field(
        "success", description="Stop a sample at its first success, or run on for the largest loss."
    )

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.restarts > 1 and not self.random_start:
            raise ValueError(
                f"restarts: expected 1 with random_start: false, got {self.restarts}: each would repeat the same run"
            )
        if self.targets > 1 and self.target is not None:
            raise ValueError(f"targets: expected 1 beside a target, got {self.targets}: there is one class to aim at")
        return self

    @property
    def typical_passes(self) -> float:
        return (3.0 if self.smoothing else 2.0) * self.steps * self.restarts * self.targets

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> PGDState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        adv = self._begin(x, draw, count)
        rivals = count[:, None].expand(-1, min(self.targets, goal.classes - 1)) - 1
        return PGDState(x, goal, draw, adv, count.float(), count.bool(), adv, count, count, rivals)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, PGDState)
        view = None if self.smoothing else oracle.differentiate(state.adv)
        logits = oracle.logits(state.adv) if view is None else view.logits
        reached = state.goal.secured(logits)
        state = self._aim(state, logits)
        loss, seed = self._climbed(state, logits)
        exhausted = state.taken >= self.steps
        ended = exhausted & (state.restart + 1 >= self.restarts * state.rivals.shape[1])
        done = ended | reached if self.stop == "success" else ended
        moving = ~done & ~exhausted
        adv = state.adv
        if len(index := moving.nonzero()[:, 0]):
            gradient, at = self._around(oracle, state, index) if view is None else _here(view, seed, index)
            if at is None:
                adv = self._ascend(state.x, adv, gradient, state.taken)
            else:
                adv = adv.index_copy(0, at, self._ascend(state.x[at], adv[at], gradient, state.taken[at]))
        taken, restart = state.taken + 1, state.restart
        again = exhausted & ~done
        if self.restarts * state.rivals.shape[1] > 1 and bool(again.any()):
            restart = restart + again
            taken = torch.where(again, 0, taken)
            adv = torch.where(per_row(again, adv), self._begin(state.x, state.draw, restart), adv)
        changes: dict[str, Any] = {"adv": adv, "taken": taken, "restart": restart}
        return replace(state, candidate=state.adv, won=reached, score=-loss, done=done, **changes)

    def _aim(self, s: PGDState, logits: torch.Tensor) -> PGDState:
        """The classes aimed at, fixed when a row takes its first step."""
        if self.targets == 1:
            return s
        chosen = likeliest(s.goal, logits, s.rivals.shape[1])
        return replace(s, rivals=torch.where(s.rivals < 0, chosen, s.rivals))

    def _climbed(self, s: PGDState, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How good the iterates are (n,), whatever they are aimed at, and the gradient (n, K) of what is climbed."""
        if self.loss == "ce" and self.targets == 1:
            return s.goal.ascent(logits)
        if self.targets == 1:
            return s.goal.margin(logits), climbed(self.loss, s.goal, logits)[1]
        rival = s.rivals.gather(1, (s.restart % s.rivals.shape[1])[:, None])[:, 0]
        if self.loss == "ce":
            return s.goal.margin(logits), Goal(rival, s.goal.classes, targeted=True).seed(logits)
        return s.goal.margin(logits), climbed(self.loss, s.goal, logits, rival)[1]

    def _around(self, oracle: Oracle, state: PGDState, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the rows `index` (m,), each at a random point around its iterate."""
        s = rows(state, index)
        radius = self.smoothing * self.epsilon * (1 - s.taken / self.steps)
        noise = sample(s.draw.fork("smoothing"), s.adv, self.norm, 1.0, s.restart * self.steps + s.taken)
        view = oracle.differentiate(s.adv + noise * per_row(radius, noise), index)
        return view.gradient(self._climbed(s, view.logits)[1])[0], index

    def _begin(self, x: torch.Tensor, draw: Draw, restart: torch.Tensor) -> torch.Tensor:
        if not self.random_start:
            return x
        return (x + sample(draw, x, self.norm, self.epsilon, restart)).clamp(0, 1)

    def _ascend(self, x: torch.Tensor, adv: torch.Tensor, gradient: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        return ascend(x, adv, gradient, taken, self.norm, self.epsilon, self.steps, self.step_size)


def _here(view: Pass, seed: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradients of the rows `index` (m,) at the iterate; None: of all rows, and only those count."""
    part, at = view.narrow(index)
    return part.gradient(seed if at is None else seed[at])[0], at
