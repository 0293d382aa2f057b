"""Momentum iterative FGSM (Dong et al., https://arxiv.org/abs/1710.06081), with the usual aids to transfer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from robustbench_lite.attacks._steps import last_only
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import climb
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm
from robustbench_lite.threat.rows import per_row

__all__ = ["MIFGSM"]


@dataclass
class MIFGSMState(State):
    adv: torch.Tensor
    taken: torch.Tensor  # (n,)
    momentum: torch.Tensor  # (n, C, H, W)
    variance: torch.Tensor  # (n, C, H, W) how the mean gradient around the last iterate differs from its own


@attacks.register("mifgsm")
class MIFGSM(StepAttack):
    """Iterated sign steps along an accumulated gradient; the last iterate is the adversarial image."""

    card: ClassVar[Card] = Card(
        title="Momentum iterative FGSM",
        paper="Dong et al., Boosting Adversarial Attacks with Momentum, CVPR 2018",
        arxiv="1710.06081",
        protocol=(
            "g <- decay g + grad / ||grad||_1, x <- clip(x + step sign(g)) in the linf ball; epsilon 16/255, 10 steps "
            "of epsilon / steps, decay 1, final iterate. Options: input diversity (Xie et al., 1803.06978), "
            "translation invariance (Dong et al., 1904.02884), scale invariance and Nesterov's look ahead (Lin et al., "
            "1908.06281), variance tuning (Wang and He, 2103.15571), a penalty on the gradient's norm (Ge et al., "
            "2306.05225); all of them can be combined but the last two."
        ),
        deviations=(
            "The gradient is that of the log-odds: cross-entropy's direction, which does not vanish when the softmax "
            "saturates. The gradients of copies and of points around the iterate are averaged with that weight.",
            "Input diversity shrinks by a bilinear warp, another size and place for every sample, and pads with zeros; "
            "the original enlarges the canvas instead.",
            "around: flat looks back along the gradient over its mean absolute value, as the released code does; "
            "over its l1 norm, as the paper writes, it would not move.",
        ),
    )
    version: ClassVar[int] = 2
    later: ClassVar[tuple[tuple[str, ...], ...]] = (("nesterov",), ("around", "neighbours", "reach", "balance"))
    changes: ClassVar[tuple[str, ...]] = ("epsilon", "step_size")
    threat: ClassVar[Norm] = "linf"

    epsilon: Number = Field(16 / 255, gt=0, description="Radius of the linf ball, for images in [0, 1].")
    steps: PositiveInt = Field(10, description="Gradient steps.")
    step_size: Number | None = Field(None, gt=0, description="Size of a step; null: epsilon / steps.")
    decay: Number = Field(1.0, ge=0, description="What is kept of the accumulated gradient; 0: iterative FGSM.")
    diversity: Number = Field(0.0, ge=0, le=1, description="Probability of a random shrinking and shift before a pass.")
    smallest: Number = Field(0.9, gt=0, le=1, description="Smallest size of the shrunk image, relative.")
    translation: NonNegativeInt = Field(
        0, description="Side of the Gaussian kernel that smooths the gradient, odd; 0: none. The paper has 15 of 299."
    )
    scales: PositiveInt = Field(1, description="Copies x, x/2, x/4, ... whose gradients are averaged; the paper has 5.")
    nesterov: bool = Field(default=False, description="Take gradients one step ahead along the accumulated one.")
    around: Literal["variance", "flat"] | None = Field(
        None,
        description=(
            "What the gradients at random points around the iterate are for. variance: by how much their mean differs "
            "from the iterate's own is added in the next step (VMI). flat: they stand in its place, each with that of "
            "a point back downhill, so that a large gradient costs (PGN). null: none are taken."
        ),
    )
    neighbours: PositiveInt = Field(20, description="around: so many points, new ones in every step.")
    reach: Number | None = Field(
        None,
        gt=0,
        description="around: how far they are at most along each axis, in epsilons, also outside the box; null: 1.5 "
        "with variance, 3 with flat.",
    )
    balance: Number = Field(0.5, ge=0, le=1, description="around: flat: the weight of the gradient back downhill.")

    @field_validator("translation")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side and side % 2 == 0:
            raise ValueError(f"translation: expected an odd number or 0, got {side}")
        return side

    @property
    def typical_passes(self) -> float:
        points = {None: 1, "variance": 1 + self.neighbours, "flat": 2 * self.neighbours}[self.around]
        return 2.0 * self.steps * self.scales * points

    @property
    def promise(self) -> Promise:  # these turn the gradient
        turned = (1.2 if self.diversity else 0) + 0.2 * self.translation + (0.5 if self.around else 0)
        return Promise(factor=1.05 + turned)

    @property
    def _length(self) -> float:
        return self.epsilon / self.steps if self.step_size is None else self.step_size

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> MIFGSMState:
        count, zero = torch.zeros(len(x), dtype=torch.int64, device=x.device), torch.zeros_like(x)
        return MIFGSMState(x, goal, draw, x, count.float(), count.bool(), x, count, zero, zero)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, MIFGSMState)
        gradient, variance = self._slope(oracle, state)
        if self.translation:
            gradient = _smooth(gradient, self.translation)
        momentum = self.decay * state.momentum + gradient / _mean_size(gradient)
        share = state.taken / self.steps
        adv, taken = climb(state.x, state.adv, momentum, "linf", self._length, self.epsilon, share), state.taken + 1
        done = taken >= self.steps
        changes: dict[str, Any] = {"adv": adv, "taken": taken, "momentum": momentum, "variance": variance}
        return replace(state, candidate=adv, score=last_only(done), done=done, **changes)

    def _slope(self, oracle: Oracle, s: MIFGSMState) -> tuple[torch.Tensor, torch.Tensor]:
        """What is accumulated, and the variance that the next step adds (n, C, H, W)."""
        at = s.adv + self._length * self.decay * s.momentum if self.nesterov else s.adv
        if self.around == "flat":
            return self._mean(s, at, lambda point, draw: self._penalised(oracle, s, point, draw)), s.variance
        own = self._gradient(oracle, s, at, s.draw)
        if self.around is None:
            return own, s.variance
        mean = self._mean(s, at, lambda point, draw: self._gradient(oracle, s, point, draw))
        return own + s.variance, mean - own

    def _mean(
        self, s: MIFGSMState, at: torch.Tensor, what: Callable[[torch.Tensor, Draw], torch.Tensor]
    ) -> torch.Tensor:
        """Of `what` at this step's random points around `at` (n, C, H, W), each with draws of its own."""
        total = torch.zeros_like(at)
        reach = self.reach or {"variance": 1.5, "flat": 3.0}[self.around or "flat"]
        for i in range(self.neighbours):
            draw = s.draw.fork(f"neighbour {i}")
            away = 2 * draw.uniform("place", tuple(at.shape[1:]), s.taken) - 1
            total += what(at + reach * self.epsilon * away, draw)
        return total / self.neighbours

    def _penalised(self, oracle: Oracle, s: MIFGSMState, at: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Gradient (n, C, H, W) at a point of the loss minus a multiple of its gradient's norm, by a difference."""
        gradient = self._gradient(oracle, s, at, draw)
        behind = at - self._length * gradient / _mean_size(gradient)
        return (1 - self.balance) * gradient + self.balance * self._gradient(oracle, s, behind, draw)

    def _gradient(self, oracle: Oracle, s: MIFGSMState, at: torch.Tensor, draw: Draw) -> torch.Tensor:
        """The sum of the gradients in `at` (n, C, H, W) of every copy: warped where the draw says so, then scaled."""
        total = torch.zeros_like(at)
        for i in range(self.scales):
            copy = lambda x, i=i: self._diverse(x, draw, s.taken * self.scales + i) / 2**i
            total = total + oracle.through(at, copy, lambda view: view.gradient(s.goal.seed(view.logits))[0])[0]
        return total

    def _diverse(self, x: torch.Tensor, draw: Draw, step: torch.Tensor) -> torch.Tensor:
        """With probability `diversity`, shrunk to a random size at a random place, zeros around (n, C, H, W)."""
        if not self.diversity:
            return x
        u = draw.uniform("diversity", (4,), step)
        scale = torch.where(u[:, 0] < self.diversity, self.smallest + (1 - self.smallest) * u[:, 1], 1.0)
        centre = (2 * u[:, 2:] - 1) * (1 - scale)[:, None]  # in [-1, 1] coordinates, the whole image stays inside
        theta = torch.zeros((len(x), 2, 3), dtype=x.dtype, device=x.device)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
        theta[:, :, 2] = -centre / scale[:, None]
        grid = torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)


def _smooth(gradient: torch.Tensor, side: int) -> torch.Tensor:
    """Convolved with a Gaussian of +-3 standard deviations over `side` pixels, each channel by itself."""
    bell = torch.exp(-0.5 * torch.linspace(-3, 3, side, device=gradient.device, dtype=gradient.dtype) ** 2)
    bell = bell / bell.sum()
    channels = gradient.shape[1]
    kernel = (bell[:, None] * bell).expand(channels, 1, side, side)
    return torch.nn.functional.conv2d(gradient, kernel, padding=side // 2, groups=channels)


def _mean_size(gradient: torch.Tensor) -> torch.Tensor:
    """The mean absolute value of every row (n, 1, 1, 1): the l1 norm, whatever the number of pixels."""
    return per_row(gradient.flatten(1).abs().mean(1).clamp_min(1e-30), gradient)
