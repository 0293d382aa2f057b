"""FAB, towards one class after the other (Croce and Hein, https://arxiv.org/abs/1907.02044).

d, d_0 = the shortest ways, in the box, from x_i and from x to where the linearisation at x_i has its boundary
a = min(|d| / (|d| + |d_0|), 0.1)
x_i+1 = clip((1 - a)(x_i + eta d) + a (x + eta d_0)), eta = 1.05
where x_i+1 succeeds: keep it if it is the nearest so far, and go back, x_i+1 = 0.1 x + 0.9 x_i+1
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._losses import climbed, likeliest
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import nearest_within, shortest_within
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import sample, size
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.threat.ties import tie

__all__ = ["FAB"]

_ROUNDING = 4 * 2.0**-23  # of the gradient's l2 norm: how far the rounding of all numbers of an image moves a margin
_SEARCH = 3  # evaluations between the image and the best candidate, when all runs are over


@dataclass
class FABState(State):
    adv: torch.Tensor  # the iterate that the next step evaluates
    best: torch.Tensor  # the nearest success, how far it is (inf: none yet), and its margin
    near: torch.Tensor  # (n,)
    gain: torch.Tensor  # (n,)
    below: torch.Tensor  # (n,) the share of the way to it where the last failure is known, and the margin there
    deficit: torch.Tensor  # (n,)
    least: torch.Tensor  # (n,) a margin no larger than this may be rounding on the way from image to logits
    returned: torch.Tensor  # (n,) bool: the iterate is a success that was taken back
    taken: torch.Tensor  # (n,) steps of this run
    run: torch.Tensor  # (n,) targets of restarts; as many as there are: the search
    rivals: torch.Tensor  # (n, targets) classes


@attacks.register("fab")
class FAB(StepAttack):
    """Follows the boundary to where it is nearest to the image: steps to its linearisation, drawn to the image."""

    card: ClassVar[Card] = Card(
        title="FAB-T",
        paper=(
            "Croce and Hein, Minimally distorted adversarial examples with a fast adaptive boundary attack, ICML 2020; "
            "towards targets as in AutoAttack, ICML 2020"
        ),
        arxiv="1907.02044",
        protocol=(
            "Runs of `steps` steps towards each of the likeliest wrong classes, alpha_max 0.1, eta 1.05, beta 0.9; "
            "three evaluations between the image and the nearest success at the end."
        ),
        deviations=(
            "Restarts begin in a ball of half the smallest size so far, as in the paper; where nothing was found, of "
            "half the distance to a grey image.",
            "Ways from a failure go beyond the boundary by what rounding may hide, where 1.05 times them is clipped.",
            "With a target the boundary is that between it and the likeliest other class.",
        ),
        factor=1.02,
    )
    minimal: ClassVar[bool] = True
    changes: ClassVar[tuple[str, ...]] = ()

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm that is minimised.")
    steps: PositiveInt = Field(100, description="Steps of each run.")
    restarts: PositiveInt = Field(1, description="Runs towards each class; those after the first begin at random.")
    targets: PositiveInt = Field(9, description="So many wrong classes, the likeliest ones first.")
    alpha: Number = Field(0.1, ge=0, le=1, description="The largest share of the step that begins at the image.")
    overshoot: Number = Field(0.05, ge=0, description="Every step goes this share beyond the boundary: eta - 1.")
    beta: Number = Field(0.9, gt=0, le=1, description="After a success: the share of the way out that remains.")

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.restarts * self.targets

    @property
    def promise(self) -> Promise:
        return Promise(factor=self.card.factor, rivals=self.targets)

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> FABState:
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        wanted = 0 if goal.targeted else min(self.targets, goal.classes - 1)
        zero, rivals = count.float(), count[:, None].expand(-1, wanted).clone()
        own: dict[str, Any] = {"adv": x, "best": x, "near": zero + torch.inf, "gain": zero, "below": zero}
        own |= {"deficit": zero, "least": zero, "returned": count.bool()}
        return FABState(x, goal, draw, x, zero, count.bool(), taken=count, run=count, rivals=rivals, **own)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, FABState)
        s, evaluated = state, state.adv
        runs = self.restarts * max(1, s.rivals.shape[1])
        view = oracle.differentiate(evaluated)
        first = (s.run == 0) & (s.taken == 0)
        margin, won = s.goal.margin(view.logits), s.goal.secured(view.logits, s.least)
        if bool(first.any()):
            s = self._opened(s, first, view.logits, margin)
        searching = s.run >= runs
        s, far = self._kept(s, margin, won, searching)
        ended = ~searching & (s.taken >= self.steps)
        returns = won & ~(s.returned | searching | ended)
        taken = s.taken + ~returns
        run = s.run + ended
        over = (run >= runs) & (s.near.isinf() | (s.gain <= 0))  # nothing to search between
        done = (first & won) | over | (searching & (taken >= _SEARCH))
        moving = ~(done | searching | ended | returns)
        back = s.x + self.beta * (s.adv - s.x)
        adv = torch.where(per_row(returns, back), back, self._sought(s))
        if bool(moving.any()):
            gap, seed = climbed("margin", s.goal, view.logits, self._rival(s))
            hidden = torch.where(won, 0.0, s.goal.pair(view.logits, tie))
            at = moving.nonzero()[:, 0]
            part, own = view.narrow(at)
            gradient, length = part.gradient(seed if own is None else seed[own])
            gradient, length = (gradient[at], length[at]) if own is None else (gradient, length)
            s = replace(s, least=s.least.index_copy(0, at, s.least[at].maximum(_ROUNDING * length)))
            adv = adv.index_copy(0, at, self._moved(rows(s, at), gap[at], hidden[at], gradient))
        s = replace(s, adv=adv, taken=torch.where(ended, 0, taken), run=run, returned=returns)
        again = ended & ~done & (run < runs)
        s = self._restarted(s, again) if bool(again.any()) else s
        return replace(s, candidate=evaluated, won=won, score=far, done=done)

    def _opened(self, s: FABState, first: torch.Tensor, logits: torch.Tensor, margin: torch.Tensor) -> FABState:
        """What the clean image says: which classes are near, and how far from the goal it is."""
        if s.rivals.shape[1]:
            chosen = likeliest(s.goal, logits, s.rivals.shape[1])
            s = replace(s, rivals=torch.where(first[:, None], chosen, s.rivals))
        return replace(s, deficit=torch.where(first, margin, s.deficit))

    def _kept(
        self, s: FABState, margin: torch.Tensor, won: torch.Tensor, searching: torch.Tensor
    ) -> tuple[FABState, torch.Tensor]:
        """The state with what the iterate says, and how far (n,) that is from the image; inf: no success."""
        far = size(s.adv - s.x, self.norm).masked_fill(~won, float("inf"))
        nearer, short = far < s.near, searching & ~won
        share = (size(s.adv - s.x, self.norm) / s.near.clamp_min(1e-30)).clamp(0, 1)
        below = torch.where(short, share, s.below)
        shrunk = torch.where(searching & nearer, far / s.near, 1.0)  # the way is shorter now
        s = replace(
            s,
            best=torch.where(per_row(nearer, s.adv), s.adv, s.best),
            near=torch.where(nearer, far, s.near),
            gain=torch.where(nearer, margin, s.gain),
            below=below / shrunk,
            deficit=torch.where(short, margin, s.deficit),
        )
        return s, far

    def _sought(self, s: FABState) -> torch.Tensor:
        """The images (n, C, H, W) on the way to the best candidate where the margin, were it linear, would be least."""
        share = (2 * s.least - s.deficit) / (s.gain - s.deficit).clamp_min(1e-30)
        share = s.below + (1 - s.below) * share.clamp(0, 1)
        return (s.x + per_row(share, s.x) * (s.best - s.x)).clamp_(0, 1)

    def _rival(self, s: FABState) -> torch.Tensor | None:
        """The class (n,) that the run of each row is to end in; None: the target."""
        targets = s.rivals.shape[1]
        return s.rivals.gather(1, (s.run % targets)[:, None])[:, 0] if targets else None

    def _moved(self, s: FABState, here: torch.Tensor, hidden: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """The next iterates (n, C, H, W); `here` (n,) is the rival's logit less the own, with gradient g.

        `hidden` (n,): so much beyond the boundary may be none but for rounding; from a failure a way goes farther.
        """
        adv, hidden = s.adv, torch.where(hidden > 0, hidden + 2 * s.least, 0.0)
        there = here + (g * (s.x - adv)).flatten(1).sum(1) - hidden
        gap = torch.cat([torch.where(hidden > 0, here.clamp_max(0) - hidden, here), there])
        ends, slope = torch.cat([adv, s.x]), torch.cat([g, g])
        ways = shortest_within(ends, slope * per_row(-gap.sign(), slope), gap.abs(), self.norm)
        own, other = ways.chunk(2)
        long, short = size(other, self.norm), size(own, self.norm)
        a = per_row((short / (short + long).clamp_min(1e-30)).clamp_max(self.alpha), g)
        eta = 1 + self.overshoot
        return ((1 - a) * (adv + eta * own) + a * (s.x + eta * other)).clamp_(0, 1)

    def _restarted(self, s: FABState, which: torch.Tensor) -> FABState:
        """The rows `which` (n,) at the start of their next run: at the image, later at random points around it."""
        at = which.nonzero()[:, 0]
        part = rows(s, at)
        grey = size(part.x - 0.5, self.norm)
        reach = torch.where(part.near.isinf(), grey, part.near) / 2
        new = sample(part.draw, part.x, self.norm, 1.0, part.run) * per_row(reach, part.x)
        adv = (part.x + nearest_within(part.x, new, self.norm, reach)).clamp_(0, 1)
        at_random = part.run >= max(1, s.rivals.shape[1])
        return replace(s, adv=s.adv.index_copy(0, at, torch.where(per_row(at_random, adv), adv, part.x)))
