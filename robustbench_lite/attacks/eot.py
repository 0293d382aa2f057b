"""Expectation over transformation, on images (Athalye et al., https://arxiv.org/abs/1707.07397)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks import _colour
from robustbench_lite.attacks._steps import Adam, ascend, last_only
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle, Pass, interior
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import project_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, steepest
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.transforms.distribution import Distribution

__all__ = ["EOT"]


@dataclass
class EOTState(State):
    adv: torch.Tensor  # the iterate
    taken: torch.Tensor  # (n,) steps with the current weight
    phase: torch.Tensor  # (n,) which of the weights that is
    adam: Adam  # (n, C, H, W); of signed steps (n, 0)


@attacks.register("eot")
class EOT(StepAttack):
    """Ascent on the mean log-probability of the goal over random views of the image; the last iterate counts."""

    card: ClassVar[Card] = Card(
        title="Expectation over transformation (2D)",
        paper="Athalye et al., Synthesizing Robust Adversarial Examples, ICML 2018",
        arxiv="1707.07397",
        protocol=(
            "Maximise E log P(y_t | t(x')) - lambda E ||LAB(t(x')) - LAB(t(x))||_2 by projected gradients, fresh "
            "transformations t in every step, the distance between transformed images. 2D: random targets, scale 0.9 "
            "to 1.4, rotation +-22.5 degrees, lighten or darken +-0.05, Gaussian noise of standard deviation 0 to 0.1, "
            "any in-bounds translation; each result evaluated on 1,000 fresh transformations."
        ),
        deviations=(
            "penalty: null, the default, bounds a norm instead of paying for the distance in LAB.",
            "Untargeted: log (1 - P(y | t(x'))) takes the place of log P(y_t | t(x')).",
            "Of several weights the result with the least distance counts that reaches the wanted share on held-out "
            "draws; if none does, the one with the largest share.",
            "Steps of a fixed size are those of pgd here: within ball and box, in l1 spread over several numbers.",
            "The last iterate counts: the best of them would be that of a lucky draw.",
        ),
    )
    changes: ClassVar[tuple[str, ...]] = ("epsilon", "step_size")

    version: ClassVar[int] = 2

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")
    penalty: tuple[Number, ...] | None = Field(
        None,
        description=(
            "Instead of a ball: weights lambda of the mean LAB distance (Euclidean, over all pixels), each tried in "
            "turn. Colour images only."
        ),
    )
    optimizer: Literal["signed", "adam"] = Field(
        "signed", description="Steps of a fixed size in the norm (its steepest direction), or Adam's."
    )
    steps: PositiveInt = Field(40, description="Gradient steps (with each weight).")
    step_size: Number | None = Field(
        None,
        gt=0,
        description="Size of a step, or Adam's learning rate; null: 2.5 epsilon / steps, with `penalty` 2/255.",
    )
    draws: PositiveInt = Field(10, description="Views of each image in every step.")
    held_out: PositiveInt = Field(100, description="penalty: further views that choose between the weights.")
    wanted: Number = Field(0.9, gt=0, le=1, description="penalty: the share of them where the goal must be reached.")

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if self.penalty is not None and (not self.penalty or min(self.penalty) < 0):
            raise ValueError("penalty: expected numbers, none below 0")
        return self

    @property
    def threat(self) -> Norm | None:
        return self.norm if self.penalty is None else None

    @property
    def budget(self) -> float | None:
        return self.epsilon if self.penalty is None else None

    @property
    def distribution(self) -> Distribution:
        """What is optimised over; without operations the image itself."""
        return Distribution(self.under or ())

    @property
    def _copies(self) -> int:
        """Views in a step; one is enough where all are the same."""
        return 1 if self.distribution.still else self.draws

    @property
    def typical_passes(self) -> float:
        chosen = 0 if self.penalty is None else self.held_out
        return len(self.penalty or (0,)) * (2.0 * self._copies * self.steps + chosen)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> EOTState:
        if self.penalty is not None and x.shape[1] != 3:
            raise AttackError(f"eot: penalty is a distance of colours, expected 3 channels, got {x.shape[1]}")
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        adam = Adam.fresh(x if self.optimizer == "adam" else x.flatten(1)[:, :0])
        return EOTState(x, goal, draw, x, count.float(), count.bool(), x, count, count, adam)

    def step(self, oracle: Oracle, state: State) -> State:
        """At most a batch of views is in memory at once; a row costs `draws` forwards and backwards."""
        assert isinstance(state, EOTState)
        moved = self._move(state, self._gradient(oracle, state))
        ended = moved.taken >= self.steps
        score = last_only(ended)
        if self.penalty is None:
            return replace(moved, candidate=moved.adv, score=score, done=ended)
        won = torch.zeros_like(ended)
        if bool(ended.any()):
            index = ended.nonzero()[:, 0]
            enough, worth = self._worth(oracle, rows(moved, index), index)
            won, score = won.index_copy(0, index, enough), score.index_copy(0, index, worth)
        done = ended & (moved.phase + 1 >= len(self.penalty))
        return replace(_again(moved, ended), candidate=moved.adv, won=won, score=score, done=done)

    def _gradient(self, oracle: Oracle, s: EOTState) -> torch.Tensor:
        """Gradient (n, C, H, W) of the mean over fresh draws."""
        total = torch.zeros_like(s.adv)
        number = (s.phase * self.steps + s.taken) * self._copies
        for row, draw in pairs(len(s.x), self._copies, oracle.batch_size, s.x.device):
            total.index_add_(0, row, self._of_views(oracle, s, row, number[row] + draw))
        return total / self._copies

    def _of_views(self, oracle: Oracle, s: EOTState, row: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        """Gradient (m, C, H, W) through the view with that number (m,) of each row (m,)."""
        views, draw = self.distribution, rows(s.draw, row)

        def uphill(view: Pass) -> torch.Tensor:
            loss, seed = rows(s.goal, row).ascent(view.logits)
            gradient, _ = view.gradient(seed)
            if self._copies > 1 or self.penalty is not None:  # one alone: its weight turns nothing, but underflows
                gradient = gradient * per_row(torch.sigmoid(-loss), gradient)
            if self.penalty is None:
                return gradient
            weight = per_row(gradient.new_tensor(self.penalty)[s.phase[row]], gradient)
            return gradient - weight * _colour.slope(view.leaf, views.see(s.x[row], draw, number))

        return oracle.through(interior(s.adv[row]), lambda x: views.see(x, draw, number), uphill, row)[0]

    def _move(self, s: EOTState, gradient: torch.Tensor) -> EOTState:
        """One step uphill, back into the ball where there is one, and into the box."""
        taken, adam = s.taken + 1, s.adam
        if self.optimizer == "signed" and self.penalty is None:
            ball = self.norm, self.epsilon, self.steps, self.step_size
            return replace(s, adv=ascend(s.x, s.adv, gradient, s.taken, *ball), taken=taken)
        length = self.step_size or (2.5 * self.epsilon / self.steps if self.penalty is None else 2 / 255)
        if self.optimizer == "signed":
            way = steepest(gradient, self.norm)
        else:
            way, adam = adam.step(gradient, taken)
        moved = (way * length).add_(s.adv).sub_(s.x)
        if self.penalty is None:
            moved = project_within(s.x, moved, self.norm, self.epsilon)
        return replace(s, adv=moved.add_(s.x).clamp_(0, 1), taken=taken, adam=adam)

    def _worth(self, oracle: Oracle, s: EOTState, place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether the finished iterates at `place` (n,) in the window reach the wanted share of held-out draws (n,).

        And their scores (n,): the distance where they do, else the share that they miss.
        """
        reached, distance = (torch.zeros(len(s.x), device=s.x.device) for _ in range(2))
        for row, number in pairs(len(s.x), self.held_out, oracle.batch_size, s.x.device):
            draw, views = rows(s.draw, row), self.distribution
            step = -1 - number  # no step of the optimisation has a number below 0
            seen, clean = (views.see(images[row], draw, step) for images in (s.adv, s.x))
            logits = oracle.logits(seen, place[row])
            reached.index_add_(0, row, rows(s.goal, row).reached(logits).to(reached.dtype))
            distance.index_add_(0, row, _colour.distance(seen, clean))
        share = reached / self.held_out
        enough = share >= self.wanted
        return enough, torch.where(enough, distance / self.held_out, 1 - share)


def _again(s: EOTState, ended: torch.Tensor) -> EOTState:
    """The rows that `ended` (n,) start over from the image, with the next weight."""
    adv = torch.where(per_row(ended, s.adv), s.x, s.adv)
    return replace(s, adv=adv, taken=torch.where(ended, 0, s.taken), phase=s.phase + ended, adam=s.adam.reset(ended))
