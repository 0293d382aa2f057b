"""DeepFool (Moosavi-Dezfooli et al., https://arxiv.org/abs/1511.04599), in l2 and linf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attack import Card, GoalName, Promise, State, StepAttack, attacks
from robustbench_lite.batch import per_row
from robustbench_lite.lazy import torch
from robustbench_lite.oracle import Oracle, Pass
from robustbench_lite.registry import Number
from robustbench_lite.rng import Draw
from robustbench_lite.threat import Goal, Norm, dual_size, steepest, tie

__all__ = ["DeepFool"]

_NOWHERE = 1e-18  # a gradient no longer than this leads nowhere: its boundary is far beyond every other
_GAVE_UP = 1e30  # score of a candidate that fools nobody: kept only where there is nothing better


@dataclass
class DeepFoolState(State):
    adv: torch.Tensor  # the iterate, overshoot included
    taken: torch.Tensor  # (n,)
    classes: torch.Tensor  # (n, candidates - 1) the competitors, by the logits of the clean image


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
            "No absolute 1e-4 is added to a step: it is a length, and wrong for other scales. A gap below the "
            "rounding of the logits is raised to it instead, so that a tie cannot stall the iteration.",
            "clip: true, the default, projects every iterate to [0, 1]; the paper does not clip.",
            "slack: a competitor's gradient is not computed where it would have to be `slack` times longer than the "
            "longest one seen in this step to win. null computes all, as in the paper.",
            "Line 11 of the algorithm divides by the squared norm, as the paper has it (some lecture notes do not).",
        ),
        factor=1.03,
    )
    minimal: ClassVar[bool] = True

    norm: Literal["l2", "linf"] = Field("l2", description="Norm that is minimised.")
    goal: GoalName = Field("prediction", description="Leave the prediction on the clean image, or the true label.")
    steps: PositiveInt = Field(50, description="Steps at most.")
    overshoot: Number = Field(0.02, ge=0, description="Every step goes this share beyond the boundary.")
    candidates: PositiveInt = Field(10, ge=2, description="Classes considered, the own one included.")
    clip: bool = Field(default=True, description="Project iterates to [0, 1]; false: as in the paper.")
    slack: Number | None = Field(
        1.5, ge=1, description="How many times longer an unseen gradient may be than those seen; null: compute all."
    )

    target: None = None  # untargeted by its nature

    @property
    def typical_passes(self) -> float:
        return 12.0 if self.slack is not None else 4.0 + 3.0 * (self.candidates - 1)

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
        return DeepFoolState(x, goal, draw, x, count.float(), count.bool(), x, count, classes)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, DeepFoolState)
        view = oracle.differentiate(state.adv)
        rounding = tie(view.logits)
        reached = state.goal.secured(view.logits, rounding)
        done = reached | (state.taken >= self.steps)
        score = torch.full_like(state.score, float("inf")).masked_fill_(done, _GAVE_UP).masked_fill_(reached, 0.0)
        classes = state.classes if self._all(state.goal) else self._competitors(state, view.logits)
        adv = state.adv
        moving = (~done).nonzero()[:, 0]
        if len(moving):
            gaps, order = self._gaps(view.logits, state.goal.label, classes, rounding)
            part, at = view.narrow(moving)
            if at is None:
                adv = self._move(adv, self._nearest(part, state.goal.label, gaps, order, done))
            else:
                nearest = self._nearest(part, state.goal.label[at], gaps[at], order[at], done[at])
                adv = adv.index_copy(0, at, self._move(adv[at], nearest))
        taken = state.taken + 1
        return replace(state, candidate=state.adv, score=score, done=done, adv=adv, taken=taken, classes=classes)

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

    def _move(self, adv: torch.Tensor, nearest: Nearest) -> torch.Tensor:
        """A little beyond the nearest boundary."""
        direction, length = nearest.step(self.norm)
        moved = direction.mul_(per_row(length * (1 + self.overshoot), adv)).add_(adv)
        return moved.clamp_(0, 1) if self.clip else moved

    def _nearest(
        self, view: Pass, label: torch.Tensor, gaps: torch.Tensor, order: torch.Tensor, done: torch.Tensor
    ) -> Nearest:
        """The nearest boundary of the linearisation at the rows of the view; rows that are done do not matter."""
        gradient, length = self._gradient(view, order[:, 0], label, view.logits.shape[1])
        best = Nearest.first(gaps[:, 0], gradient, length)  # the class with the smallest gap
        left = gaps.masked_fill(done[:, None], float("inf"))
        left[:, 0] = float("inf")
        while True:  # another class can only win with a gradient longer than gap / distance
            wanted = left < (float("inf") if self.slack is None else best.reach(self.slack)[:, None])
            if not bool(wanted.any()):
                return best
            left = left.masked_fill(wanted, float("inf"))
            for row, gap, w, norm in self._gradients(view, label, gaps, order, wanted):
                best.offer(row, gap, w, norm)

    def _gradients(
        self, view: Pass, label: torch.Tensor, gaps: torch.Tensor, order: torch.Tensor, wanted: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(rows, gaps, w_k, ||w_k||) of the wanted classes (m, k), in as few passes as possible.

        A class that most rows want goes through the graph at hand. What few rows want is gathered into one batch of
        (row, class) pairs: a small pass costs nearly as much as a full one.
        """
        n, count = len(label), view.logits.shape[1]
        shared = wanted.sum(0) * 2 > (n if view.wanted is None else len(view.wanted))
        everyone = torch.arange(n, device=label.device)
        for k in shared.nonzero()[:, 0].tolist():
            yield everyone, gaps[:, k], *self._gradient(view, order[:, k], label, count)
        row, column = (wanted & ~shared).nonzero(as_tuple=True)
        for start in range(0, len(row), n):
            at, k = row[start : start + n], column[start : start + n]
            yield at, gaps[at, k], *self._gradient(view.again(at), order[at, k], label[at], count)

    def _gaps(
        self, logits: torch.Tensor, label: torch.Tensor, classes: torch.Tensor, rounding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """|f_k - f_label| (n, k) ascending, no smaller than the logits' own rounding, and the classes in that order."""
        own = logits.gather(1, label[:, None])
        gaps, order = (own - logits.gather(1, classes)).abs().maximum(2 * rounding[:, None]).sort(1)
        return gaps, classes.gather(1, order)

    def _gradient(
        self, view: Pass, competitor: torch.Tensor, label: torch.Tensor, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """w_k, the gradient of f_k - f_label, and its dual norm."""
        seed = torch.zeros((len(label), count), dtype=view.logits.dtype, device=label.device)
        seed.scatter_(1, competitor[:, None], 1.0).scatter_(1, label[:, None], -1.0)
        gradient, length = view.gradient(seed)
        return gradient, length if self.norm == "l2" else dual_size(gradient, self.norm)


@dataclass
class Nearest:
    """Per row, the smallest distance to a boundary seen so far, that boundary's gradient, and the longest of all."""

    distance: torch.Tensor
    gradient: torch.Tensor  # written to by offers
    length: torch.Tensor  # of that gradient, its dual norm
    longest: torch.Tensor

    @classmethod
    def first(cls, gap: torch.Tensor, gradient: torch.Tensor, length: torch.Tensor) -> Nearest:
        """One boundary for every row, at gap / length (m,)."""
        length = length.clamp_min(_NOWHERE)
        own = gradient.clone() if 0 in gradient.stride() else gradient  # the gradient of a sum is one number, repeated
        return cls(gap / length, own, length, length.clone())

    def reach(self, slack: float) -> torch.Tensor:
        """The gap (m,) below which a gradient `slack` times longer than those seen would be nearer."""
        return self.distance * self.longest * slack

    def offer(self, row: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor, length: torch.Tensor) -> None:
        """Take the boundaries at gap / length (p,) of the rows where they are nearer."""
        length = length.clamp_min(_NOWHERE)
        self.longest.scatter_reduce_(0, row, length, "amax")
        distance = gap / length
        self.distance.scatter_reduce_(0, row, distance, "amin")
        nearer = (distance == self.distance[row]).nonzero()[:, 0]
        if len(nearer):
            at = row[nearer]
            self.length.index_copy_(0, at, length[nearer])
            self.gradient.index_copy_(0, at, gradient if len(nearer) == len(row) else gradient[nearer])

    def step(self, norm: Norm) -> tuple[torch.Tensor, torch.Tensor]:
        """The shortest way to the boundary: a direction (m, C, H, W), to be written to, and how far along it (m,)."""
        if norm == "l2":
            return self.gradient, self.distance / self.length
        return steepest(self.gradient, norm), self.distance
