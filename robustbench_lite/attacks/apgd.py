"""APGD (Croce and Hein, https://arxiv.org/abs/2003.01690), in l1 as in https://arxiv.org/abs/2103.01208.

x_1 = P(x_0 + eta g(x_0)), eta = 2 epsilon
for k = 1 ... steps - 1: z = P(x_k + eta g(x_k));  x_k+1 = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_k-1))
at the checkpoints, where too few steps helped or nothing has changed since the last: eta = eta / 2, x_k+1 = the best
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks._losses import climbed, likeliest, no_ratio
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import nearest_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import sample, steepest
from robustbench_lite.threat.rows import per_row, rows

__all__ = ["APGD"]

_NEW = 0.75  # alpha: the share of the new step; the rest is momentum
_HELPED = 0.75  # rho: the share of steps since the last checkpoint that have to increase the loss
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06  # of all steps: the first period, how much shorter the next is, at most
_NINE = 9  # targets
_FEW = 0.25  # l1: how far the first run begins from a uniform point towards a sparse one; later ones begin there
# l1: the share of the numbers that the first step moves; how often that share is set anew, in parts of all steps; by
# what it and steps shrink; the least of a step; when a perturbation has become sparser; stages in 3, 2, 1 times epsilon
_SPARSE, _EVERY, _SHRINK, _LEAST, _SPARSER, _STAGES = 0.2, 0.04, 1.5, 0.1, 0.95, ((3, 0.3), (2, 0.3), (1, 0.4))
_DUST = 1e-5  # l1: of a full pixel: what rounding leaves of a number that a projection sets back is no change


@dataclass
class APGDState(State):
    adv: torch.Tensor  # the iterate that the next step evaluates
    before: torch.Tensor  # the one before
    best: torch.Tensor  # where the loss of this run was largest, the gradient there, and that loss
    slope: torch.Tensor
    top: torch.Tensor  # (n,)
    last: torch.Tensor  # (n,) the loss of the iterate before
    length: torch.Tensor  # (n,) eta
    helped: torch.Tensor  # (n,) steps since the last checkpoint that increased the loss
    mark: torch.Tensor  # (n,) `top` at the last checkpoint
    halved: torch.Tensor  # (n,) bool: there
    taken: torch.Tensor  # (n,) steps of this run; -1: the image itself comes first
    run: torch.Tensor  # (n,) stages of restarts of targets
    rivals: torch.Tensor  # (n, targets) classes
    share: torch.Tensor  # (n,) l1: of the numbers, those that a step moves
    support: torch.Tensor  # (n,) l1: how many numbers the best candidate changes, when last counted


_MOVED = ("adv", "before", "best", "slope", "top", "last", "length", "helped", "mark", "halved", "share", "support")


@attacks.register("apgd")
class APGD(StepAttack):
    """Ascent with momentum, whose steps are halved where they no longer help; it needs no step size."""

    card: ClassVar[Card] = Card(
        title="APGD",
        paper=(
            "Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free "
            "attacks, ICML 2020; l1: Mind the box: l1-APGD for sparse adversarial attacks, ICML 2021"
        ),
        arxiv="2003.01690",
        protocol=(
            "Steps of 2 epsilon, momentum 0.75, halved at the paper's checkpoints, where a run goes on from its best "
            "iterate. l1: sparse steps in balls of 3, 2 and 1 epsilon for 30, 30 and 40 % of the steps, in each as "
            "sparse as what the last one found; restarts begin at Gaussian noise brought to the ball."
        ),
        deviations=(
            "A row is done at its first success; the clean image is looked at first, which chooses the targets.",
            "ce climbs the log-odds: a monotone function of cross-entropy that does not vanish in float32.",
            "l2 and l1: projections are on ball and box together; numbers at the box that cannot move are left out.",
            "DLR of fewer than 3 classes, or 4 towards one class, does not exist: its numerator, the margin, is used.",
        ),
    )

    version: ClassVar[int] = 2

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")
    loss: Literal["ce", "dlr", "dlr_targeted", "margin"] = Field(
        "ce",
        description=(
            "What is climbed: cross-entropy; the difference of logits ratio, away from the label or (dlr_targeted) "
            "towards one class after the other; or the logit margin."
        ),
    )
    steps: PositiveInt = Field(100, description="Gradient steps of each run.")
    restarts: PositiveInt = Field(1, description="Runs from another random start, for each target.")
    targets: PositiveInt | None = Field(
        None,
        description=(
            "dlr_targeted and margin: a run towards each of so many wrong classes, the likeliest ones first; null: 9 "
            "for dlr_targeted, for margin none, but away from the label."
        ),
    )

    @model_validator(mode="after")
    def _aimed(self) -> Self:
        if self.targets and self.loss in {"ce", "dlr"}:
            raise ValueError(
                f"targets: expected null with loss: {self.loss}, got {self.targets}; dlr_targeted has some"
            )
        return self

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.restarts * max(1, self._wanted)

    @property
    def _wanted(self) -> int:
        """Classes to try, one after the other; 0: away from the label."""
        return self.targets or (_NINE if self.loss == "dlr_targeted" else 0)

    @property
    def _stages(self) -> tuple[tuple[float, int], ...]:
        """The balls of a run, each as a radius and the steps in it."""
        if self.norm != "l1":
            return ((self.epsilon, self.steps),)
        lengths = [int(share * self.steps) for _, share in _STAGES[:-1]]
        lengths.append(self.steps - sum(lengths))
        return tuple((times * self.epsilon, n) for (times, _), n in zip(_STAGES, lengths, strict=True))

    def remarks(self, goal: Goal) -> tuple[str, ...]:
        towards_one = goal.targeted or self.loss == "dlr_targeted"
        if not self.loss.startswith("dlr") or not no_ratio(goal.classes, towards_one=towards_one):
            return ()
        return (f"{self.loss}: {goal.classes} classes are too few for the ratio; the margin is climbed instead",)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> APGDState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        wanted = 0 if goal.targeted else min(self._wanted, goal.classes - 1)
        rivals = count[:, None].expand(-1, wanted).clone()
        zero, far = count.float(), count - torch.inf
        fresh: dict[str, Any] = dict.fromkeys(_MOVED, zero) | dict.fromkeys(("adv", "before", "best"), x)
        fresh |= {"slope": torch.zeros_like(x), "top": far, "mark": far, "halved": count.bool()}
        return APGDState(x, goal, draw, x, zero, count.bool(), taken=count - 1, run=count, rivals=rivals, **fresh)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, APGDState)
        s, evaluated = state, state.adv
        radius, steps = self._stage(s)
        view = oracle.differentiate(evaluated)
        looking = s.taken < 0
        counts = looking | (radius == self.epsilon)
        reached = s.goal.secured(view.logits) & counts
        ended = s.taken >= steps
        done = reached | (ended & (s.run + 1 >= self._runs(s)))
        moving = ~(done | looking | ended)
        if s.rivals.shape[1] and bool(looking.any()):
            chosen = likeliest(s.goal, view.logits, s.rivals.shape[1])
            s = replace(s, rivals=torch.where(looking[:, None], chosen, s.rivals))
        if len(index := moving.nonzero()[:, 0]):
            loss, seed = climbed(self._climbs, s.goal, view.logits, self._rival(s))
            part, at = view.narrow(index)
            if at is None:
                s = self._climb(s, loss, part.gradient(seed)[0], radius)
            else:
                moved = self._climb(rows(s, at), loss[at], part.gradient(seed[at])[0], radius[at])
                s = replace(s, **{n: getattr(s, n).index_copy(0, at, getattr(moved, n)) for n in _MOVED})
        s = replace(s, taken=s.taken + 1)
        again = (looking | ended) & ~done
        s = self._begin(s, again, ended) if bool(again.any()) else s
        score = (-s.goal.margin(view.logits)).masked_fill(~counts, float("inf"))
        return replace(s, candidate=evaluated, won=reached, score=score, done=done)

    @property
    def _climbs(self) -> Literal["ce", "margin", "dlr"]:
        return "dlr" if self.loss == "dlr_targeted" else self.loss

    def _runs(self, s: APGDState) -> int:
        return self.restarts * max(1, s.rivals.shape[1]) * len(self._stages)

    def _stage(self, s: APGDState) -> tuple[torch.Tensor, torch.Tensor]:
        """The radius (n,) of the ball in which each row is, and the steps (n,) that it takes there."""
        radii, steps = zip(*self._stages, strict=True)
        at = s.run % len(radii)
        return s.x.new_tensor(radii)[at], torch.tensor(steps, device=s.x.device)[at]

    def _rival(self, s: APGDState) -> torch.Tensor | None:
        """The class (n,) that the run of each row is to end in; None: any, or the target."""
        targets = s.rivals.shape[1]
        at = s.run // len(self._stages) % max(1, targets)
        return s.rivals.gather(1, at[:, None])[:, 0] if targets else None

    def _begin(self, s: APGDState, which: torch.Tensor, ended: torch.Tensor) -> APGDState:
        """The rows `which` (n,) at the start of their first run, of their next one, or of its next stage."""
        s = replace(s, run=s.run + (which & ended))
        radius, at = self._stage(s)[0], which.nonzero()[:, 0]
        part, reach = rows(s, at), radius[at]
        adv, later = self._opening(part, reach), part.run % len(self._stages) > 0
        if len(self._stages) > 1:  # a smaller ball begins where the larger one ended
            inner = part.x + nearest_within(part.x, part.best - part.x, self.norm, reach)
            adv = torch.where(per_row(later, adv), inner, adv)
        adv, zero, far = adv.clamp_(0, 1), torch.zeros_like(part.top), torch.full_like(part.top, -torch.inf)
        fresh = {"adv": adv, "before": adv, "top": far, "last": -far, "helped": zero, "mark": far}
        fresh |= {"length": reach * (1 if self.norm == "l1" else 2), "halved": zero.bool(), "taken": zero.long()}
        numbers, support = adv[0].numel(), (adv != part.x).flatten(1).sum(1).to(zero.dtype)  # and is as sparse as that
        share = torch.where(later, support / numbers / _SHRINK, _SPARSE)
        fresh |= {"share": share, "support": torch.where(later, support, numbers)}
        return replace(s, **{name: getattr(s, name).index_copy(0, at, value) for name, value in fresh.items()})

    def _opening(self, s: APGDState, radius: torch.Tensor) -> torch.Tensor:
        """Random images (n, C, H, W) in the ball. l1: between a uniform point and one that changes a few numbers."""
        new = per_row(radius, s.x) * sample(s.draw, s.x, self.norm, 1.0, s.run)
        near = nearest_within(s.x, new, self.norm, radius)
        if self.norm != "l1":
            return s.x + near
        noise = s.draw.normal("sparse", tuple(s.x.shape[1:]), s.run)  # of which the ball leaves the largest numbers
        share = per_row(torch.where(s.run < len(self._stages), _FEW, 1.0), near)
        return s.x + near.lerp(nearest_within(s.x, noise, "l1", radius), share)

    def _climb(self, s: APGDState, loss: torch.Tensor, g: torch.Tensor, radius: torch.Tensor) -> APGDState:
        """The state after a step of every row, whose iterate has this loss (n,) and gradient (n, C, H, W)."""
        better = loss > s.top
        wide = per_row(better, g)
        s = replace(
            s,
            best=torch.where(wide, s.adv, s.best),
            slope=torch.where(wide, g, s.slope),
            top=torch.where(better, loss, s.top),
            helped=s.helped + (loss > s.last),
            last=loss,
        )
        return self._sparse_step(s, g, radius) if self.norm == "l1" else self._step(s, g, radius)

    def _step(self, s: APGDState, g: torch.Tensor, radius: torch.Tensor) -> APGDState:
        """With momentum; at a checkpoint first half as long and from the best, where it did not help."""
        period = _periods(self.steps).to(s.taken.device)[s.taken]
        due = period > 0
        stuck = (s.helped < _HELPED * period) | (~s.halved & (s.mark >= s.top))
        halve = due & stuck
        if bool(due.any()):
            s, g = self._back(s, halve, g)
            length = torch.where(halve, s.length / 2, s.length)
            mark, helped = torch.where(due, s.top, s.mark), torch.where(due, 0, s.helped)
            s = replace(s, length=length, mark=mark, helped=helped, halved=torch.where(due, halve, s.halved))
        r, new = s.adv - s.x, per_row(torch.where(s.taken > 0, _NEW, 1.0), g)
        straight = steepest(_free(s, g), self.norm) * per_row(s.length, g)
        step = nearest_within(s.x, r + straight, self.norm, radius) - r
        moved = nearest_within(s.x, r + new * step + (1 - new) * (s.adv - s.before), self.norm, radius)
        return replace(s, adv=moved.add_(s.x).clamp_(0, 1), before=s.adv)

    def _sparse_step(self, s: APGDState, g: torch.Tensor, radius: torch.Tensor) -> APGDState:
        """l1: an equal change of the numbers with the largest gradients, as many as the best candidate suggests."""
        numbers, every = g[0].numel(), max(1, math.ceil(_EVERY * self.steps))
        due = (s.taken > 0) & (s.taken % every == 0)
        if bool(due.any()):
            support = ((s.best - s.x).abs() > _DUST).flatten(1).sum(1).to(s.support.dtype)
            sparser = due & (support < _SPARSER * s.support)
            s, g = self._back(s, sparser, g)
            shorter = (s.length / _SHRINK).maximum(_LEAST * radius)
            s = replace(
                s,
                length=torch.where(due, torch.where(sparser, radius, shorter), s.length),
                share=torch.where(due, support / numbers / _SHRINK, s.share),
                support=torch.where(due, support, s.support),
            )
        flat = _free(s, g).flatten(1)
        last = (s.share * numbers).long().clamp(1, numbers)[:, None] - 1
        way = flat.sign() * (flat.abs() >= flat.abs().sort(dim=1, descending=True).values.gather(1, last))
        way = (way / way.abs().sum(1, keepdim=True).clamp_min(1)).view_as(g) * per_row(s.length, g)
        moved = nearest_within(s.x, way + (s.adv - s.x), "l1", radius)
        return replace(s, adv=moved.add_(s.x).clamp_(0, 1), before=s.adv)

    def _back(self, s: APGDState, which: torch.Tensor, g: torch.Tensor) -> tuple[APGDState, torch.Tensor]:
        """The rows `which` (n,) at their best iterate, and the gradients there."""
        wide = per_row(which, g)
        back = replace(s, adv=torch.where(wide, s.best, s.adv), last=torch.where(which, s.top, s.last))
        return back, torch.where(wide, s.slope, g)


def _free(s: APGDState, g: torch.Tensor) -> torch.Tensor:
    """The gradient without the numbers that stand at the box, as those of the image do, and cannot follow it."""
    low, high = (s.x <= 0) & (s.adv <= 0) & (g < 0), (s.x >= 1) & (s.adv >= 1) & (g > 0)
    return g.masked_fill(low | high, 0)


@lru_cache(maxsize=16)
def _periods(steps: int) -> torch.Tensor:
    """For every number of steps taken, the steps since the last checkpoint; 0 where there is none: p_j of the paper."""
    at, before, shares = torch.zeros(steps + 1), 0, [0.0, _FIRST]
    while shares[-1] <= 1:
        checkpoint = math.ceil(round(shares[-1] * steps, 6))  # 57, not 58, of 100
        if before < checkpoint <= steps:
            at[checkpoint], before = checkpoint - before, checkpoint
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - _SHORTER, _SHORTEST))
    return at
