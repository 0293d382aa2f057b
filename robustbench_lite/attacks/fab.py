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
from robustbench_lite.engine.oracle import Oracle, Pass
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

    version: ClassVar[int] = 2
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
        own |= {"deficit": zero, "least": zero}
        return FABState(x, goal, draw, x, zero, count.bool(), taken=count, run=count, rivals=rivals, **own)

    def step(self, oracle: Oracle, state: State) -> State:
        """Looks at the iterates, takes those that succeed back, and follows the gradients there."""
        assert isinstance(state, FABState)
        runs = self.restarts * max(1, state.rivals.shape[1])
        searching = state.run >= runs
        ended = ~searching & (state.taken >= self.steps)
        none, far = torch.zeros_like(searching), torch.full_like(state.score, float("inf"))
        s = self._looked(oracle, replace(state, won=none, score=far, done=none), searching, ended)
        s = self._walked(oracle, s, ~(searching | ended))
        s = replace(s, taken=torch.where(ended, 0, s.taken + 1), run=s.run + ended)
        sought = s.run >= runs
        over = sought & (s.near.isinf() | (s.gain <= 0))  # nothing to search between
        s = replace(s, done=s.done | over | (searching & (s.taken >= _SEARCH)))
        s = replace(s, adv=torch.where(per_row(sought, s.adv), self._sought(s), s.adv)) if bool(sought.any()) else s
        again = ended & ~sought
        return self._restarted(s, again) if bool(again.any()) else s

    def _looked(self, oracle: Oracle, s: FABState, searching: torch.Tensor, ended: torch.Tensor) -> FABState:
        """The state after a look at all iterates but those at the start of a run."""
        at = (searching | (s.taken > 0)).nonzero()[:, 0]
        if not len(at):
            return s
        s, won = self._kept(s, _spread(oracle.logits(_some(s.adv, at), at), at, s), at, searching)
        back = per_row(won & ~(searching | ended), s.adv)
        return replace(s, adv=torch.where(back, s.x + self.beta * (s.adv - s.x), s.adv))

    def _walked(self, oracle: Oracle, s: FABState, walking: torch.Tensor) -> FABState:
        """The state after a way of each of the rows `walking` (n,); those that succeed as they are are done."""
        at = walking.nonzero()[:, 0]
        if not len(at):
            return s
        view = oracle.differentiate(_some(s.adv, at), at)
        logits = _spread(view.logits, at, s)
        first = walking & (s.run == 0) & (s.taken == 0)
        s = self._opened(s, first, logits) if bool(first.any()) else s
        s, won = self._kept(s, logits, at, torch.zeros_like(first))
        s = replace(s, done=won & first)
        which = (~s.done)[at].nonzero()[:, 0]
        return self._along(s, logits, won, view, which, at) if len(which) else s

    def _along(
        self, s: FABState, logits: torch.Tensor, won: torch.Tensor, view: Pass, which: torch.Tensor, at: torch.Tensor
    ) -> FABState:
        """The state with the rows `which` (m,) of the pass over the rows `at` on their ways."""
        gap, seed = climbed("margin", s.goal, logits, self._rival(s))
        hidden = torch.where(won, 0.0, s.goal.pair(logits, tie))
        to = at[which]
        part, own = view.narrow(which)
        gradient, length = part.gradient(_some(seed, at if own is None else to))
        gradient, length = (_some(gradient, which), _some(length, which)) if own is None else (gradient, length)
        s = replace(s, least=s.least.index_copy(0, to, s.least[to].maximum(_ROUNDING * length)))
        moved = self._moved(_some(s.x, to), _some(s.adv, to), s.least[to], gap[to], hidden[to], gradient)
        return replace(s, adv=moved if len(to) == len(s.x) else s.adv.index_copy(0, to, moved))

    def _opened(self, s: FABState, first: torch.Tensor, logits: torch.Tensor) -> FABState:
        """What the clean image says: which classes are near, and how far from the goal it is."""
        if s.rivals.shape[1]:
            chosen = likeliest(s.goal, logits, s.rivals.shape[1])
            s = replace(s, rivals=torch.where(first[:, None], chosen, s.rivals))
        return replace(s, deficit=torch.where(first, s.goal.margin(logits), s.deficit))

    def _kept(
        self, s: FABState, logits: torch.Tensor, at: torch.Tensor, searching: torch.Tensor
    ) -> tuple[FABState, torch.Tensor]:
        """The state with what the iterates of the rows `at` say, and which rows (n,) succeed."""
        seen = torch.zeros_like(searching).index_fill_(0, at, value=True)
        margin, won = s.goal.margin(logits), s.goal.secured(logits, s.least) & seen
        size_of = size(s.adv - s.x, self.norm)
        far = size_of.masked_fill(~won, float("inf"))
        nearer, short = far < s.near, searching & ~won
        below = torch.where(short, (size_of / s.near.clamp_min(1e-30)).clamp(0, 1), s.below)
        shrunk = torch.where(searching & nearer, far / s.near, 1.0)  # the way is shorter now
        s = replace(
            s,
            best=torch.where(per_row(nearer, s.adv), s.adv, s.best),
            near=torch.where(nearer, far, s.near),
            gain=torch.where(nearer, margin, s.gain),
            below=below / shrunk,
            deficit=torch.where(short, margin, s.deficit),
            candidate=torch.where(per_row(won, s.adv), s.adv, s.candidate),
            won=s.won | won,
            score=torch.where(won, far, s.score),
        )
        return s, won

    def _sought(self, s: FABState) -> torch.Tensor:
        """The images (n, C, H, W) on the way to the best candidate where the margin, were it linear, would be least."""
        share = (2 * s.least - s.deficit) / (s.gain - s.deficit).clamp_min(1e-30)
        share = s.below + (1 - s.below) * share.clamp(0, 1)
        return (s.x + per_row(share, s.x) * (s.best - s.x)).clamp_(0, 1)

    def _rival(self, s: FABState) -> torch.Tensor | None:
        """The class (n,) that the run of each row is to end in; None: the target."""
        targets = s.rivals.shape[1]
        return s.rivals.gather(1, (s.run % targets)[:, None])[:, 0] if targets else None

    def _moved(
        self,
        x: torch.Tensor,
        adv: torch.Tensor,
        least: torch.Tensor,
        here: torch.Tensor,
        hidden: torch.Tensor,
        g: torch.Tensor,
    ) -> torch.Tensor:
        """The next iterates (n, C, H, W); `here` (n,) is the rival's logit less the own, with gradient g.

        `hidden` (n,): so much beyond the boundary may be none but for rounding; from a failure a way goes farther.
        """
        hidden = torch.where(hidden > 0, hidden + 2 * least, 0.0)
        there = here + (g * (x - adv)).flatten(1).sum(1) - hidden
        gap = torch.cat([torch.where(hidden > 0, here.clamp_max(0) - hidden, here), there])
        ends, slope = torch.cat([adv, x]), torch.cat([g, g])
        ways = shortest_within(ends, slope * per_row(-gap.sign(), slope), gap.abs(), self.norm)
        own, other = ways.chunk(2)
        long, short = size(other, self.norm), size(own, self.norm)
        a = per_row((short / (short + long).clamp_min(1e-30)).clamp_max(self.alpha), g)
        eta = 1 + self.overshoot
        return ((1 - a) * (adv + eta * own) + a * (x + eta * other)).clamp_(0, 1)

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


def _some(values: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """The rows `at` (m,), ascending, of `values` (n, ...), which is not copied where they are all."""
    return values if len(at) == len(values) else values[at]


def _spread(logits: torch.Tensor, at: torch.Tensor, s: FABState) -> torch.Tensor:
    """Logits of the rows `at` (m,) in their places in the window; 0 elsewhere."""
    return logits.new_zeros((len(s.x), logits.shape[1])).index_copy_(0, at, logits)
