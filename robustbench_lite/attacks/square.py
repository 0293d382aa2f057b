"""Square Attack (Andriushchenko et al., https://arxiv.org/abs/1912.00049): random search by squares, scores only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks import _squares as squares
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.access import Access
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.rows import per_row

__all__ = ["Square"]

_FACTORS = {"linf": 2.0, "l2": 2.5, "l1": 4.0}  # above the exact radius, after _TRIED queries
_TRIED = 1000


@dataclass
class SquareState(State):
    best: torch.Tensor  # of all images looked at the one with the smallest loss
    loss: torch.Tensor  # (n,) its loss; inf: none was looked at yet
    proposal: torch.Tensor  # what the next query looks at
    queries: torch.Tensor  # (n,)


@attacks.register("square")
class Square(StepAttack):
    """Random search: squares of new colours, or of moved mass, are kept where they lower the margin."""

    card: ClassVar[Card] = Card(
        title="Square Attack",
        paper="Andriushchenko et al., Square Attack: a query-efficient black-box adversarial attack, ECCV 2020",
        arxiv="1912.00049",
        protocol=(
            "Starts at vertical stripes (linf) or a tiling by squares (l2, l1) at the border of the ball; each query "
            "changes one square of p h w pixels, and is kept if the margin falls. p is halved at queries 10, 50, 200, "
            "1000, 2000, 4000, 6000 and 8000 of 10,000, in proportion for other numbers of queries. l1 as in Croce "
            "and Hein (2103.01208), p and 5,000 queries as in AutoAttack."
        ),
        deviations=(
            "linf: a square that would change nothing has its colours turned, so that no query is wasted.",
            "Untargeted: the margin; targeted: the log-odds of the target, a monotone function of the cross-entropy.",
        ),
    )
    access: ClassVar[Access] = "scores"

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")
    n_queries: PositiveInt = Field(5000, description="Images of each sample that the classifier is asked about.")
    p_init: Number = Field(0.8, gt=0, le=1, description="Share of the pixels that the first squares cover.")

    @property
    def typical_passes(self) -> float:
        return float(self.n_queries)

    @property
    def promise(self) -> Promise:
        return Promise(factor=_FACTORS[self.norm])

    def tried(self, images: int) -> Self:
        """With no more queries than its promise needs."""
        return super().tried(images).model_copy(update={"n_queries": min(self.n_queries, _TRIED)})

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> SquareState:
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        far = torch.full((len(x),), float("inf"), device=x.device)
        if self.norm == "linf":
            proposal = squares.stripes(x, draw, self.epsilon)
        else:
            proposal = squares.tiles(x, draw, self.norm, self.epsilon)
        return SquareState(x, goal, draw, x, far, none.bool(), x, far, proposal, none)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, SquareState)
        looked = state.proposal
        logits = oracle.logits(looked)
        reached = state.goal.secured(logits)
        loss = -(state.goal.loss(logits) if state.goal.targeted else state.goal.margin(logits))
        better = loss < state.loss
        best = torch.where(per_row(better, looked), looked, state.best)
        queries = state.queries + 1
        done = reached | (queries >= self.n_queries)
        state = replace(state, best=best, loss=torch.where(better, loss, state.loss), queries=queries)
        proposal = self._propose(state)
        return replace(state, proposal=proposal, candidate=looked, won=reached, score=loss, done=done)

    def _propose(self, s: SquareState) -> torch.Tensor:
        side = squares.side(self.p_init, s.queries, self.n_queries, s.x.shape, odd=self.norm != "linf")
        if self.norm == "linf":
            return squares.coloured(s.x, s.best, s.draw, s.queries, side, self.epsilon)
        return squares.moved(s.x, s.best, s.draw, s.queries, side, self.norm, self.epsilon)
