"""Carlini and Wagner's attack (https://arxiv.org/abs/1608.04644), in l2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._minimal import Look, Search, Smallest, boundary, cosine, look
from robustbench_lite.attacks._steps import Adam
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm
from robustbench_lite.threat.rows import per_row

__all__ = ["CW"]

_INSIDE = 1 - 1e-6  # atanh of 1 is infinite


@dataclass
class CWState(Search):
    free: torch.Tensor  # (n, C, H, W) what Adam moves: the image, or its inverse hyperbolic tangent
    moments: Adam
    constant: torch.Tensor  # (n,) the c of this minimisation
    low: torch.Tensor  # (n,) the largest c that has failed
    high: torch.Tensor  # (n,) the smallest c that has succeeded; inf: none yet
    hit: torch.Tensor  # (n,) whether this minimisation has succeeded
    best: torch.Tensor  # (n, C, H, W) the smallest success: where the next minimisations begin
    smallest: torch.Tensor  # (n,) its size; inf: none yet


@attacks.register("cw")
class CW(Smallest):
    """Minimises ||r||^2 + c max(f(x + r), 0) by Adam, and searches for the smallest c that succeeds."""

    card: ClassVar[Card] = Card(
        title="Carlini and Wagner",
        paper="Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, IEEE S&P 2017",
        arxiv="1608.04644",
        protocol=(
            "f is the difference of logits, confidence 0; Adam at 0.01 on the squared l2 norm plus c f; c is ten times "
            "as large after each failure, and bisected once there is a success. The box by clipping after each step "
            "(the paper's projected gradient descent) or by a change of variables (box: tanh)."
        ),
        deviations=(
            "The first c is the one whose minimiser lies on the boundary where the classifier is linear, not 1e-3: "
            "that is right for logits of one scale only.",
            "The first minimisation begins at the nearest boundary of the linearisation (candidates: null: at the "
            "image), those after it at the smallest success so far, without one where the last has ended; in each the "
            "rate falls to a hundredth on a cosine.",
        ),
        factor=1.03,
    )

    version: ClassVar[int] = 2
    threat: ClassVar[Norm] = "l2"

    steps: PositiveInt = Field(60, description="Adam's steps for each c; the paper takes 10,000.")
    search_steps: PositiveInt = Field(5, description="Values of c; the paper tries 9.")
    rate: Number = Field(0.01, gt=0, description="Adam's learning rate.")
    box: Literal["projected", "tanh"] = Field(
        "projected", description="How iterates are kept in [0, 1]; tanh is slow where the image is 0 or 1."
    )

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.search_steps + (self.candidates or 0)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> CWState:
        search = Search.fresh(x, goal, draw)
        zero = torch.zeros_like(search.epsilon)
        return CWState(
            **vars(search),
            free=self._into(x),
            moments=Adam.fresh(x),
            constant=zero + 1,
            low=zero,
            high=zero + float("inf"),
            hit=zero.bool(),
            best=x,
            smallest=zero + float("inf"),
        )

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, CWState)
        view = oracle.differentiate(state.adv)
        seen = look(view, state, state.adv, "l2", "margin")
        tried, reach = boundary(view, state, "l2", self.candidates)
        s = self._begin(self._learn(state, seen), seen, reach)
        s = self._descend(s, seen)
        s = self._next(s)
        fresh = per_row(reach.isfinite(), s.adv)
        adv, free = torch.where(fresh, tried, s.adv), torch.where(fresh, self._into(tried), s.free)
        last = state.taken >= self.steps * self.search_steps
        return replace(
            s,
            candidate=state.adv,
            won=seen.reached,
            score=seen.score,
            done=seen.spotless | last,
            adv=adv,
            free=free,
            taken=state.taken + 1,
        )

    def _learn(self, s: CWState, seen: Look) -> CWState:
        """What the look at the iterates says of this c, and of the smallest success."""
        smaller = seen.reached & (seen.size < s.smallest)
        best = torch.where(per_row(smaller, s.adv), s.adv, s.best)
        return replace(s, hit=s.hit | seen.reached, best=best, smallest=torch.where(smaller, seen.size, s.smallest))

    def _begin(self, s: CWState, seen: Look, reach: torch.Tensor) -> CWState:
        """The first c, for rows that have not begun: 2 distance / ||grad||, and a little more."""
        distance = torch.where(reach.isfinite(), reach, -seen.gap / seen.slope.clamp_min(1e-20))
        constant = 2.2 * distance / seen.slope.clamp_min(1e-20)
        return replace(s, constant=torch.where(s.taken == 0, constant.clamp(1e-20, 1e20), s.constant))

    def _descend(self, s: CWState, seen: Look) -> CWState:
        """One step of Adam on ||r||^2 + c max(f, 0)."""
        done = s.taken % self.steps
        slope = 2 * (s.adv - s.x) - per_row(s.constant * ~seen.reached, s.x) * seen.gradient
        if self.box == "tanh":
            slope = slope * (1 - s.free.tanh().square()) / 2
        # Adam does not see the scale of what it descends on, but for its own 1e-8
        slope = slope / per_row(s.constant.clamp_max(1) * seen.slope.clamp_max(1), slope).clamp_min(1e-20)
        way, moments = s.moments.step(slope, done + 1)
        rate = cosine(self.rate, self.rate / 100, done / self.steps)
        free = s.free - per_row(rate, way) * way
        free = free if self.box == "tanh" else free.clamp(0, 1)
        return replace(s, free=free, adv=self._out(free), moments=moments)

    def _next(self, s: CWState) -> CWState:
        """Where a minimisation has ended: the next c, and a new start from the smallest success."""
        ended = (s.taken + 1) % self.steps == 0
        low, high = torch.where(s.hit, s.low, s.constant), torch.where(s.hit, s.high.minimum(s.constant), s.high)
        constant = torch.where(high.isfinite(), (low + high) / 2, 10 * s.constant).clamp_max(1e20)
        changes: dict[str, Any] = {"constant": constant, "low": low, "high": high, "hit": torch.zeros_like(s.hit)}
        changes = {name: torch.where(ended, value, getattr(s, name)) for name, value in changes.items()}
        back = per_row(ended & s.smallest.isfinite(), s.free)
        free, adv = torch.where(back, self._into(s.best), s.free), torch.where(back, s.best, s.adv)
        return replace(s, **changes, free=free, adv=adv, moments=s.moments.reset(ended))

    def _into(self, x: torch.Tensor) -> torch.Tensor:
        """What Adam moves, for images x (n, C, H, W)."""
        return x if self.box == "projected" else torch.atanh((2 * x - 1) * _INSIDE)

    def _out(self, free: torch.Tensor) -> torch.Tensor:
        return free if self.box == "projected" else (free.tanh() + 1) / 2
