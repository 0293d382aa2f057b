"""Brightness, contrast, saturation, hue (Hsiung et al., https://arxiv.org/abs/2202.04235): the worst of each image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import kornia, torch
from robustbench_lite.registry import Number
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.box import clip
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import per_row, rows

__all__ = ["Recolor"]


@dataclass
class RecolorState(State):
    """`best` (n, 4) made `candidate`, the best so far; `won` and `value` (n,) say how good that is.

    Both it and `unit` (n, 4), where the next step looks, are coordinates within the limits, each from -1 to 1.
    """

    best: torch.Tensor
    value: torch.Tensor
    tried: torch.Tensor  # (n,) candidates evaluated
    unit: torch.Tensor


@attacks.register("recolor")
class Recolor(StepAttack):
    """One change of all colours of an image, within stated limits, under which the classifier does worst."""

    card: ClassVar[Card] = Card(
        title="Brightness, contrast, saturation, hue",
        paper="Hsiung et al., Towards Compositional Adversarial Robustness, CVPR 2023",
        arxiv="2202.04235",
        protocol=(
            "Projected gradient steps along the signs of the gradient in the parameters: brightness +-0.2, contrast "
            "and saturation 0.7 to 1.3, hue any angle; every pixel of an image is changed in the same way."
        ),
        deviations=(
            "All four at once, in this order; the paper also looks for the order, and rotates and perturbs beside it.",
            "The steps begin at the worst of `draws` random points, where the paper begins at one.",
            "hue: 30 degrees either way where nothing is said, not 180: a stop sign stays red.",
            "Contrast is about mid-grey, so that a pixel's new colour depends on its old one alone.",
        ),
    )
    found: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation", "hue")

    brightness: Number = Field(0.2, ge=0, le=1, description="Largest brightness added, either way.")
    contrast: Number = Field(0.3, ge=0, le=1, description="Contrast, about mid-grey, between 1 - this and 1 + this.")
    saturation: Number = Field(
        0.3, ge=0, le=1, description="Saturation between 1 - this and 1 + this; of grey images: none."
    )
    hue: Number = Field(
        30.0, ge=0, le=180, description="Largest turn of the colour circle, degrees; of grey ones: none."
    )
    draws: PositiveInt = Field(64, description="Candidates tried first: the image as it is, and random ones.")
    steps: NonNegativeInt = Field(20, description="Gradient steps from the worst of them; 0: none.")
    step_size: Number = Field(0.15, gt=0, description="Size of a step, as a part of each limit.")
    stop: Literal["never", "success"] = Field(
        "never", description="Look for the worst colours, or stop an image at its first success."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any((self.brightness, self.contrast, self.saturation, self.hue)):
            raise ValueError("brightness, contrast, saturation, hue: expected one above 0, got none")
        return self

    @property
    def bracket(self) -> str:
        return "colours"

    @property
    def promise(self) -> Promise:
        return Promise() if self.steps else Promise(factor=float("inf"))  # random colours promise nothing

    @property
    def typical_passes(self) -> float:
        return self.draws + 2.0 * self._climbs

    @property
    def _climbs(self) -> int:
        """Candidates on the way uphill, both ends included."""
        return self.steps + 1 if self.steps else 0

    def stream(self) -> str:
        return self.registered  # more draws begin with the same ones

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> RecolorState:
        if x.shape[1] not in {1, 3}:
            raise AttackError(f"recolor: expected images of 1 or 3 channels, got {x.shape[1]}")
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        worst = torch.full((len(x),), float("-inf"), dtype=torch.float64, device=x.device)
        unit = self._drawn(draw, count)
        return RecolorState(x, goal, draw, x, count.float(), count.bool(), unit, worst, count, unit)

    def step(self, oracle: Oracle, state: State) -> State:
        """One candidate of each image: a random one, or one on the way uphill."""
        assert isinstance(state, RecolorState)
        images, unit = torch.empty_like(state.x), torch.empty_like(state.unit)
        logits = state.x.new_empty((len(state.x), state.goal.classes))
        for climbing in (False, True):
            index = ((state.tried >= self.draws) == climbing).nonzero()[:, 0]
            if len(index):
                part = self._evaluated(oracle, rows(state, index), index, climbing=climbing)
                for whole, own in zip((images, logits, unit), part, strict=True):
                    whole.index_copy_(0, index, own)
        won, tried = state.goal.secured(logits), state.tried + 1
        s = self._better(state, won, state.goal.loss(logits).double(), images)
        unit = torch.where((tried == self.draws)[:, None], s.best, unit)
        unit = torch.where((tried < self.draws)[:, None], self._drawn(s.draw, tried), unit)
        done = (tried >= self.draws + self._climbs) | (won & (self.stop == "success"))
        return replace(s, tried=tried, unit=unit, done=done)

    def _evaluated(
        self, oracle: Oracle, s: RecolorState, index: torch.Tensor, *, climbing: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The candidates of the rows `index` (m,) of the window, their logits, and a step uphill from there."""
        if not climbing:
            images = self.rebuild(s.x, self._at(s.unit))
            return images, oracle.logits(images, index), s.unit
        seen = lambda unit: self.rebuild(s.x, self._at(unit))
        uphill = lambda view: view.gradient(s.goal.seed(view.logits))[0]
        slope, view = oracle.through(s.unit, seen, uphill, index)
        return view.leaf.detach(), view.logits, (s.unit + self.step_size * slope.sign()).clamp(-1, 1)

    def details(self, state: State) -> torch.Tensor:
        assert isinstance(state, RecolorState)
        return self._at(state.best)

    def rebuild(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W) with their colours changed by these numbers (n, 4); differentiable in both."""
        out = x.double()
        add, times, saturation, hue = (per_row(column, out) for column in found.double().unbind(1))
        out = clip((1 + times) * (out - 0.5) + 0.5 + add)
        if x.shape[1] == 3:
            grey = kornia.color.rgb_to_grayscale(out)
            out = clip(grey + (1 + saturation) * (out - grey))
            if self.hue:  # there and back costs a few last bits
                out = clip(kornia.enhance.adjust_hue(out, hue.flatten().deg2rad()))
        return out.to(x.dtype)

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:
        """Per image: numbers outside the limits, or a candidate that they do not give; else empty."""
        nothing = found.isnan().any(1)  # failed before it evaluated anything
        beyond = (found.abs() > self._limits(found) + 1e-9).any(1)
        made = torch.where(per_row(nothing, x), x, self.rebuild(x, found.nan_to_num()))
        other = size((candidates - made).double(), "linf") > allowed(0.0)
        return [
            "colours outside the limits" if beyond[i] else "its numbers give other colours" if other[i] else ""
            for i in range(len(x))
        ]

    def _limits(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_tensor([self.brightness, self.contrast, self.saturation, self.hue], dtype=torch.float64)

    def _at(self, unit: torch.Tensor) -> torch.Tensor:
        """Numbers (n, 4) within the limits at these coordinates (n, 4)."""
        return unit * self._limits(unit)

    def _drawn(self, draw: Draw, number: torch.Tensor) -> torch.Tensor:
        """The candidate number `number` (n,) of each row, coordinates (n, 4): first the image as it is."""
        drawn = 2 * draw.uniform("colours", (4,), number).double() - 1
        return torch.where((number == 0)[:, None], 0.0, drawn)

    def _better(self, s: RecolorState, won: torch.Tensor, value: torch.Tensor, images: torch.Tensor) -> RecolorState:
        """The state after candidates of this value (n,); its score falls by one with each better than all before."""
        value = value.masked_fill(value.isnan(), float("-inf"))
        better = (won & ~s.won) | ((won == s.won) & (value > s.value))
        changes: dict[str, Any] = {
            "best": torch.where(better[:, None], s.unit, s.best),
            "value": torch.where(better, value, s.value),
        }
        candidate = torch.where(per_row(better, images), images, s.candidate)
        return replace(s, candidate=candidate, won=won | s.won, score=s.score - better.float(), **changes)
