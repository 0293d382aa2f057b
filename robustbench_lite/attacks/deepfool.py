"""DeepFool (Moosavi-Dezfooli et al., https://arxiv.org/abs/1511.04599), in l2 and linf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._steps import last_only
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle, Pass
from robustbench_lite.engine.protocol import GoalName
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import shortest_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import dual_size, size, steepest
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.threat.ties import rounding

__all__ = ["DeepFool"]

_NOWHERE = 1e-18  # a gradient no longer than this leads nowhere: its boundary is far beyond every other
_MANY = 2  # a row that wants more gradients than this gets them all from one pass
_LAST = 0.2  # of the first gap: from there on a step goes all the way, so that it ends clearly beyond the boundary
_FAR = 0.25  # of the gap: a clipped step that gains no more than this gets nowhere


@dataclass
class DeepFoolState(State):
    adv: torch.Tensor  # the iterate, overshoot included
    taken: torch.Tensor  # (n,)
    classes: torch.Tensor  # (n, candidates - 1) the competitors, by the logits of the clean image
    lengths: torch.Tensor  # (n, candidates - 1) how long the gradient of each was when last seen; inf: not yet
    push: torch.Tensor  # (n,) a gap that rounding hides is taken to be so many times what rounding hides
    least: torch.Tensor  # (n,) a margin no larger than this may be rounding on the way from image to logits
    gap: torch.Tensor  # (n,) the smallest one when a row took its first step; inf: it did not yet


@attacks.register("deepfool")
class DeepFool(StepAttack):
    """Repeatedly steps to the nearest class boundary of the classifier's linearisation."""

    card: ClassVar[Card] = Card(
        title="DeepFool",
        paper="Moosavi-Dezfooli et al., DeepFool: a simple and accurate method to fool deep neural networks, CVPR 2016",
        arxiv="1511.04599",
        protocol=(
            "Untargeted, away from the prediction on the clean image; logits, not probabilities; the class with the "
            "smallest |f_k| / ||w_k||_q; steps scaled by 1 + overshoot. Competitors: the clean image's top classes."
        ),
        deviations=(
            "No absolute 1e-4 is added to a step: it is a length, and wrong for other scales. A gap below the rounding "
            "that image and logits bring along is raised to it, twice as far each time that it did not suffice, so "
            "that a tie cannot stall the iteration.",
            "clip: true, the default, keeps every iterate in [0, 1]: the nearest boundary is the nearest within the "
            "box. Steps towards it are clipped; the last one, or one that clipping would stop, is the shortest within "
            "the box. The paper does not clip.",
            "slack: the first step computes every competitor's gradient; later ones only those that would be nearest "
            "were they `slack` times longer than when last seen. null computes all in every step, as in the paper.",
            "Line 11 of the algorithm divides by the squared norm, as the paper has it (some lecture notes do not).",
        ),
        factor=1.03,
    )
    minimal: ClassVar[bool] = True
    version: ClassVar[int] = 2

    norm: Literal["l2", "linf"] = Field("l2", description="Norm that is minimised.")
    goal: GoalName = Field("prediction", description="Leave the prediction on the clean image, or the true label.")
    steps: PositiveInt = Field(50, description="Steps at most.")
    overshoot: Number = Field(0.02, ge=0, description="Every step goes this share beyond the boundary.")
    candidates: PositiveInt = Field(10, ge=2, description="Classes considered, the own one included.")
    clip: bool = Field(default=True, description="Project iterates to [0, 1]; false: as in the paper.")
    slack: Number | None = Field(
        1.5, ge=1, description="How many times longer than when last seen a gradient may be; null: compute all."
    )

    target: None = Field(None, description="Untargeted by its nature.")

    @property
    def typical_passes(self) -> float:
        return 7.0 + (1.0 if self.slack is not None else 3.0) * (self.candidates - 1)

    @property
    def boxed(self) -> bool:
        return self.clip

    @property
    def promise(self) -> Promise:
        return Promise(factor=1.01 + self.overshoot, rivals=self.candidates - 1)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> DeepFoolState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if self._all(goal):
            classes = torch.arange(goal.classes - 1, device=x.device).expand(len(x), -1)
            classes = classes + (classes >= goal.label[:, None])
        else:
            classes = count[:, None].expand(-1, self.candidates - 1) - 1
        zero, unseen = count.float(), torch.full(classes.shape, float("inf"), device=x.device)
        return DeepFoolState(
            x, goal, draw, x, zero, count.bool(), x, count, classes, unseen, zero + 1, zero, zero + torch.inf
        )

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, DeepFoolState)
        view = oracle.differentiate(state.adv)
        reached = state.goal.secured(view.logits, state.least)
        done = reached | (state.taken >= self.steps)
        if not self._all(state.goal):
            state = replace(state, classes=self._competitors(state, view.logits))
        evaluated = state.adv
        moving = (~done).nonzero()[:, 0]
        if len(moving):
            part, at = view.narrow(moving)
            state = self._move(part, state, done) if at is None else self._move_some(part, state, at)
        score = last_only(done)
        return replace(state, candidate=evaluated, won=reached, score=score, done=done, taken=state.taken + 1)

    def _all(self, goal: Goal) -> bool:
        """Whether every class but the own one is a competitor."""
        return self.candidates >= goal.classes

    def _competitors(self, state: DeepFoolState, logits: torch.Tensor) -> torch.Tensor:
        """The classes to consider, fixed when a row takes its first step."""
        fresh = state.taken == 0
        if not bool(fresh.any()):
            return state.classes
        others = logits.scatter(1, state.goal.label[:, None], float("-inf"))
        chosen = others.topk(state.classes.shape[1], dim=1).indices
        return torch.where(fresh[:, None], chosen, state.classes)

    def _move_some(self, view: Pass, state: DeepFoolState, at: torch.Tensor) -> DeepFoolState:
        """The state after a step of the rows `at` (m,), of which the view is."""
        moved = self._move(view, rows(state, at), torch.zeros_like(at, dtype=torch.bool))
        names = ("adv", "lengths", "push", "least", "gap")
        changes: dict[str, Any] = {n: getattr(state, n).index_copy(0, at, getattr(moved, n)) for n in names}
        return replace(state, **changes)

    def _move(self, view: Pass, s: DeepFoolState, done: torch.Tensor) -> DeepFoolState:
        """A little beyond the nearest boundary; what becomes of rows that are `done` (n,) does not matter."""
        own, others = view.logits.gather(1, s.goal.label[:, None]), view.logits.gather(1, s.classes)
        gaps = (own - others).abs().maximum(rounding(own.expand_as(others), others))
        s = replace(s, gap=torch.where(s.gap.isinf(), gaps.amin(1), s.gap))
        nearest = self._nearest(view, s, gaps, done)
        least = torch.finfo(view.logits.dtype).eps * nearest.slope
        hidden = s.push * (least + rounding(own[:, 0], own[:, 0]))  # own: the boundary is where the two are equal
        share = (_LAST * s.gap / nearest.gap).clamp_min(1) if self.clip else 1  # what is left may be rounding alone
        beyond = (1 + self.overshoot * share) * (hidden / nearest.gap).clamp_min(1)
        adv = (nearest.way * per_row(beyond, s.adv)).add_(s.adv)
        return replace(
            s,
            adv=adv.clamp_(0, 1) if self.clip else adv,
            lengths=nearest.lengths,
            push=torch.where(nearest.gap <= hidden, 2 * s.push, s.push),
            least=least,
        )

    def _nearest(self, view: Pass, s: DeepFoolState, gaps: torch.Tensor, done: torch.Tensor) -> Nearest:
        """The nearest boundary of the linearisation at the rows of the view; rows that are done do not matter."""
        none_nearer = torch.zeros_like(gaps) if self.slack is None else gaps / (self.slack * s.lengths)
        nearest = Nearest.none(s.adv, s.lengths)
        first = (gaps / s.lengths).argmin(1)
        every = torch.arange(len(gaps), device=gaps.device)
        self._offer(nearest, view, every, first, gaps, s)
        wanted = (none_nearer < nearest.distance[:, None]) & ~done[:, None]
        wanted[every, first] = False
        many = wanted.sum(1) > _MANY
        if bool(many.any()):
            some = many.nonzero()[:, 0]
            part, at = view.narrow(some)
            at = every if at is None else at
            for k in wanted[some].any(0).nonzero()[:, 0].tolist():
                self._offer(nearest, part, at, torch.full_like(at, k), gaps, s)
        for rank in range(_MANY):  # of rows that want few, those that want another one
            row = ((wanted.sum(1) > rank) & ~many).nonzero()[:, 0]
            if len(row):
                column = wanted[row].int().cumsum(1).eq(rank + 1).int().argmax(1)
                self._offer(nearest, view.again(row), row, column, gaps, s)
        return nearest

    def _offer(
        self,
        nearest: Nearest,
        view: Pass,
        row: torch.Tensor,
        column: torch.Tensor,
        gaps: torch.Tensor,
        s: DeepFoolState,
    ) -> None:
        """Look at the boundary with the competitor in each `column` (m,) of the rows (m,), of which the view is."""
        label, gap = s.goal.label[row], gaps[row, column]
        seed = torch.zeros_like(view.logits).scatter_(1, s.classes[row, column][:, None], 1.0)
        gradient, length = view.gradient(seed.scatter_(1, label[:, None], -1.0))
        length = (length if self.norm == "l2" else dual_size(gradient, self.norm)).clamp_min(_NOWHERE)
        nearest.lengths[row, column] = length
        distance = gap / length  # without the box; within it a boundary is never nearer
        near = (distance < nearest.distance[row]).nonzero()[:, 0]
        if len(near) == 0:
            return
        gradient, gap, distance, row = gradient[near], gap[near], distance[near], row[near]
        way = steepest(gradient, self.norm).mul_(per_row(distance, gradient))
        if self.clip:
            way, distance = self._within(s.adv[row], gradient, gap, way, distance, gap > _LAST * s.gap[row])
        nearest.offer(row, distance, gap, size(gradient, "l2"), way)

    def _within(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        gap: torch.Tensor,
        way: torch.Tensor,
        distance: torch.Tensor,
        far: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The way towards the boundary within the box, and how long the whole way is; inf where there is none.

        The whole way too, but where the gap is `far` (n,) from closed: there the clipped step, if it gets on at all. On
        a linear classifier many such steps end where the whole way does; on others each sees a new linearisation.
        """
        moved = x + way
        out = ((moved < 0) | (moved > 1)).flatten(1).any(1).nonzero()[:, 0]
        if len(out) == 0:
            return way, distance
        inside = shortest_within(x[out], w[out], gap[out], self.norm)
        short = (w[out] * inside).flatten(1).sum(1) < gap[out] * (1 - 1e-3)
        reach = size(inside, self.norm).masked_fill(short, float("inf"))
        clipped = moved[out].clamp(0, 1) - x[out]
        gains = (w[out] * clipped).flatten(1).sum(1) > _FAR * gap[out]
        inside = torch.where(per_row(short | (far[out] & gains), inside), clipped, inside)
        return way.index_copy(0, out, inside), distance.index_copy(0, out, reach)


@dataclass
class Nearest:
    """Per row, the nearest boundary seen so far: its distance, its gap, and the way (n, C, H, W) to it.

    `slope` (n,) is the l2 norm of its gradient: eps times that is how far the rounding of as many terms as there are
    numbers moves the gap, on the way from image to logits. `lengths` (n, k) are those of all gradients seen. Offers are
    written into these.
    """

    distance: torch.Tensor
    gap: torch.Tensor
    slope: torch.Tensor
    way: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def none(cls, x: torch.Tensor, lengths: torch.Tensor) -> Nearest:
        """No boundary yet, for images x (n, C, H, W)."""
        far = torch.full((len(x),), float("inf"), device=x.device)
        return cls(far, torch.ones_like(far), torch.zeros_like(far), torch.zeros_like(x), lengths.clone())

    def offer(
        self, row: torch.Tensor, distance: torch.Tensor, gap: torch.Tensor, slope: torch.Tensor, way: torch.Tensor
    ) -> None:
        """Take the boundaries (m,) of the rows (m,), each there once, where they are nearer, or the first ones."""
        nearer = ((distance < self.distance[row]) | (self.slope[row] == 0)).nonzero()[:, 0]
        at = row[nearer]
        for own, new in ((self.distance, distance), (self.gap, gap), (self.slope, slope), (self.way, way)):
            own.index_copy_(0, at, new[nearer])
