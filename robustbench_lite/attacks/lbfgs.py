"""Box-constrained L-BFGS (Szegedy et al., https://arxiv.org/abs/1312.6199)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._quasi_newton import History
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.engine.protocol import GoalName
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, size
from robustbench_lite.threat.rows import per_row

__all__ = ["LBFGS"]


@dataclass
class Search:
    """The line search for c of the current target: the c on trial, and what is known of others."""

    c: torch.Tensor
    enough: torch.Tensor  # largest c whose minimiser reaches the target; 0: none yet
    too_much: torch.Tensor  # smallest c whose minimiser does not; inf: none yet
    solves: torch.Tensor

    def after(self, success: torch.Tensor) -> Search:
        """The next c: fourfold steps until both sides are known, then the geometric mean."""
        enough = torch.where(success, self.c, self.enough)
        too_much = torch.where(success, self.too_much, self.c)
        both = (enough > 0) & too_much.isfinite()
        c = torch.where(both, (enough * too_much).sqrt(), torch.where(success, self.c * 4, self.c / 4))
        return Search(c, enough, too_much, self.solves + 1)

    def begin(self, which: torch.Tensor, c: torch.Tensor) -> Search:
        """Start over at c where `which` holds."""
        fresh = Search(c, torch.zeros_like(c), torch.full_like(c, float("inf")), torch.zeros_like(self.solves))
        return _where(which, fresh, self)


@dataclass
class LBFGSState(State):
    trial: torch.Tensor  # the point that the next step evaluates
    point: torch.Tensor  # the last accepted point
    slope: torch.Tensor  # gradient of the loss there (without the penalty)
    loss: torch.Tensor  # (n,) the loss there
    hit: torch.Tensor  # (n,) whether it reaches the target
    way: torch.Tensor  # the search direction
    length: torch.Tensor  # (n,) step length of the trial
    fresh: torch.Tensor  # (n,) the trial begins a new target: accept it as it is
    taken: torch.Tensor  # (n,) accepted steps of this minimisation
    targets: torch.Tensor  # (n, T) the targets in turn
    turn: torch.Tensor  # (n,) which of them
    nearest: torch.Tensor  # (n,) size of the smallest success so far; inf: none
    search: Search
    history: History


@attacks.register("lbfgs")
class LBFGS(StepAttack):
    """Minimises c ||r||^2 + loss(x + r, target) in the box, and looks for the largest c that still succeeds."""

    card: ClassVar[Card] = Card(
        title="Box-constrained L-BFGS",
        paper="Szegedy et al., Intriguing properties of neural networks, ICLR 2014",
        arxiv="1312.6199",
        protocol=(
            "Targeted: minimise c |r| + loss(x + r, target) with x + r in the box by L-BFGS, line search over c. "
            "Untargeted: the smallest perturbation over the targets."
        ),
        deviations=(
            "The penalty is the squared l2 norm (smooth, as in Carlini and Wagner's account of the method).",
            "The line search is for the largest c whose minimiser reaches the target: the smallest perturbation.",
            "Untargeted: a target is dropped when its minimiser at the best c so far fails.",
            "L-BFGS with projected directions and Armijo backtracking; every iterate that succeeds is a candidate.",
        ),
        factor=1.05,
    )
    minimal: ClassVar[bool] = True
    version: ClassVar[int] = 2
    threat: ClassVar[Norm] = "l2"

    goal: GoalName = Field(
        "prediction", description="Untargeted: leave the prediction on the clean image, or the label."
    )
    targets: PositiveInt | None = Field(None, description="Untargeted: how many of the likeliest classes; null: all.")
    steps: PositiveInt = Field(20, description="L-BFGS steps of each minimisation.")
    search_steps: PositiveInt = Field(8, description="Values of c tried for each target.")
    history: PositiveInt = Field(5, description="Pairs of steps and gradient changes that L-BFGS remembers.")
    decrease: Number = Field(1e-4, gt=0, description="A minimisation ends below this relative decrease.")

    @property
    def typical_passes(self) -> float:
        return 10.0 * (self.search_steps + (self.targets or 9))

    @property
    def promise(self) -> Promise:
        return Promise(factor=self.card.factor, rivals=self.targets)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> LBFGSState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        zero, no = count.float(), count.bool()
        others = min(self.targets or goal.classes, goal.classes - 1)
        targets = goal.label[:, None] if goal.targeted else count[:, None].expand(-1, others) - 1
        search = Search(zero + 1, zero, zero + float("inf"), count)
        return LBFGSState(
            *(x, goal, draw, x, zero, no),
            *(x.clone(), x.clone(), torch.zeros_like(x), zero, no, torch.zeros_like(x), zero, ~no, count),
            *(targets, count, zero + float("inf"), search, History.empty(x, self.history)),
        )

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, LBFGSState)
        view = oracle.differentiate(state.trial)
        state = self._choose_targets(state, view.logits)
        target = Goal(state.targets.gather(1, state.turn[:, None])[:, 0], state.goal.classes, targeted=True)
        odds = target.loss(view.logits)  # of the target; cross-entropy is log(1 + exp(-odds))
        ascent, steepness = view.gradient(target.seed(view.logits))  # of the odds
        least = torch.finfo(view.logits.dtype).eps * steepness  # rounding on the way from image to logits
        reached, distance = state.goal.secured(view.logits, least), size(state.trial - state.x, "l2")
        state = replace(
            state,
            candidate=state.trial,
            won=reached,
            score=torch.where(reached, distance, -odds),
            done=reached & (distance == 0),
            nearest=torch.where(reached, state.nearest.minimum(distance), state.nearest),
            search=state.search.begin(state.fresh, self._first_c(odds, steepness, state.nearest)),
        )
        loss = torch.nn.functional.softplus(-odds)
        hit = target.secured(view.logits, least)
        return self._advance(state, loss, -ascent * per_row((-odds).sigmoid(), ascent), hit)

    def _first_c(self, odds: torch.Tensor, steepness: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
        """The c whose minimiser lies on the target's boundary, were the odds linear: ||grad|| / (4 distance).

        From the second target on, the distance is the best so far: a target that fails there cannot do better.
        """
        steepness = steepness.clamp_min(1e-20)
        distance = torch.where(nearest.isfinite(), nearest, odds.abs() / steepness)
        return (steepness / (4 * distance.clamp_min(1e-20))).clamp(1e-20, 1e20)

    def _choose_targets(self, state: LBFGSState, logits: torch.Tensor) -> LBFGSState:
        """Untargeted: the likeliest classes of the clean image in turn, fixed when a row takes its first step."""
        begun = state.targets[:, :1] >= 0
        if bool(begun.all()):
            return state
        others = logits.scatter(1, state.goal.label[:, None], float("-inf"))
        chosen = others.topk(state.targets.shape[1], dim=1).indices
        return replace(state, targets=torch.where(begun, state.targets, chosen))

    def _advance(self, s: LBFGSState, loss: torch.Tensor, gradient: torch.Tensor, hit: torch.Tensor) -> LBFGSState:
        """Accept or shorten the step just evaluated; where the minimisation has ended, the next c or target."""
        c = s.search.c
        old, new = s.loss + c * _squared(s.point - s.x), loss + c * _squared(s.trial - s.x)
        moved = s.trial - s.point
        slope = s.slope + per_row(2 * c, s.x) * (s.point - s.x)
        accept = s.fresh | (new <= old + 1e-4 * (slope * moved).flatten(1).sum(1))
        history = s.history.reset(s.fresh).add(accept & ~s.fresh, moved, gradient - s.slope)
        wide = per_row(accept, s.x)
        taken = torch.where(s.fresh, 0, s.taken + accept)
        short = ~accept & (s.length < 1e-3)
        stalled = accept & ~s.fresh & (old - new < self.decrease * new.abs())
        ended = short | stalled | (taken >= self.steps)
        s = replace(
            s,
            point=torch.where(wide, s.trial, s.point),
            slope=torch.where(wide, gradient, s.slope),
            loss=torch.where(accept, loss, s.loss),
            hit=torch.where(accept, hit, s.hit),
            taken=torch.where(ended, 0, taken),
            fresh=torch.zeros_like(s.fresh),
            history=history,
        )
        return self._propose(self._conclude(s, ended), accept | ended)

    def _conclude(self, s: LBFGSState, ended: torch.Tensor) -> LBFGSState:
        """Where a minimisation has ended: the next c, else the next target, else done."""
        search = _where(ended, s.search.after(s.hit), s.search)
        pruned = (s.turn > 0) & (search.solves == 1) & ~s.hit
        over = ended & ((search.solves >= self.search_steps) | pruned)
        turn, last = s.turn + over, s.targets.shape[1] - 1
        return replace(s, search=search, fresh=over, turn=turn.clamp_max(last), done=s.done | (turn > last))

    def _propose(self, s: LBFGSState, anew: torch.Tensor) -> LBFGSState:
        """The next trial: along a new direction where `anew` holds, else half as far along the old one."""
        c = s.search.c
        slope = s.slope + per_row(2 * c, s.x) * (s.point - s.x)
        free = ~(((s.point <= 0) & (slope > 0)) | ((s.point >= 1) & (slope < 0)))
        slope = slope * free
        way = s.history.direction(slope, c) * free
        uphill = (way * slope).flatten(1).sum(1) >= 0
        way = torch.where(per_row(uphill, way), -slope / per_row(2 * c, way), way)
        way = torch.where(per_row(anew, way), way, s.way)
        length = torch.where(anew, 1.0, s.length / 2)
        trial = (s.point + per_row(length, way) * way).clamp_(0, 1)
        return replace(s, way=way, length=length, trial=torch.where(per_row(s.fresh, trial), s.x, trial))


def _squared(r: torch.Tensor) -> torch.Tensor:
    return size(r, "l2") ** 2


def _where(which: torch.Tensor, first: Search, second: Search) -> Search:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Search(*(torch.where(which, one, other) for one, other in pairs))
