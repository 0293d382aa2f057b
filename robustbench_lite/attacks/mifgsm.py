"""Momentum iterative FGSM (Dong et al., https://arxiv.org/abs/1710.06081), with the usual aids to transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

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
            "translation invariance (Dong et al., 1904.02884), scale invariance (Lin et al., 1908.06281)."
        ),
        deviations=(
            "The gradient is that of the log-odds: cross-entropy's direction, which does not vanish when the softmax "
            "saturates. With scales above 1 the copies' gradients are averaged with that weight.",
            "Input diversity shrinks by a bilinear warp, another size and place for every sample, and pads with zeros; "
            "the original enlarges the canvas instead.",
        ),
    )
    version: ClassVar[int] = 2
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

    @field_validator("translation")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side and side % 2 == 0:
            raise ValueError(f"translation: expected an odd number or 0, got {side}")
        return side

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.scales

    @property
    def promise(self) -> Promise:
        return Promise(factor=1.05 + (1.2 if self.diversity else 0) + 0.2 * self.translation)  # these turn the gradient

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> MIFGSMState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return MIFGSMState(x, goal, draw, x, count.float(), count.bool(), x, count, torch.zeros_like(x))

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, MIFGSMState)
        gradient = sum(self._gradients(oracle, state), torch.zeros_like(state.adv))
        if self.translation:
            gradient = _smooth(gradient, self.translation)
        length = gradient.flatten(1).abs().mean(1).clamp_min(1e-30)
        momentum = self.decay * state.momentum + gradient / per_row(length, gradient)
        step = self.epsilon / self.steps if self.step_size is None else self.step_size
        share = state.taken / self.steps
        adv, taken = climb(state.x, state.adv, momentum, "linf", step, self.epsilon, share), state.taken + 1
        done = taken >= self.steps
        score = last_only(done)
        return replace(state, candidate=adv, score=score, done=done, adv=adv, taken=taken, momentum=momentum)

    def _gradients(self, oracle: Oracle, state: MIFGSMState) -> Iterator[torch.Tensor]:
        """The gradient in x of every copy: warped where the draw says so, then scaled."""
        for i in range(self.scales):
            copy = lambda x, i=i: self._diverse(x, state, i) / 2**i
            yield oracle.through(state.adv, copy, lambda view: view.gradient(state.goal.seed(view.logits))[0])[0]

    def _diverse(self, x: torch.Tensor, state: MIFGSMState, copy: int) -> torch.Tensor:
        """With probability `diversity`, shrunk to a random size at a random place, zeros around (n, C, H, W)."""
        if not self.diversity:
            return x
        u = state.draw.uniform("diversity", (4,), state.taken * self.scales + copy)
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
