"""Rotations and translations (Engstrom et al., https://arxiv.org/abs/1712.02779): the worst transform of each image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import Attack, State, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import SuiteError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number, fingerprint
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.transforms.limits import PARAMETERS, Limits
from robustbench_lite.transforms.warp import Fill, Interpolation, warp

__all__ = ["Spatial"]


@dataclass
class SpatialState(State):
    """`found` (n, 4) made `candidate`, the best so far; `won` and `value` (n,) say how good that is."""

    found: torch.Tensor
    value: torch.Tensor
    tried: torch.Tensor  # (n,) candidates evaluated
    unit: torch.Tensor  # (n, 4) first order: where the next step looks, in coordinates of the box


@attacks.register("spatial")
class Spatial(StepAttack):
    """The rotation and translation (and scale) of each image under which the classifier does worst."""

    card: ClassVar[Card] = Card(
        title="Rotations and translations",
        paper="Engstrom et al., Exploring the Landscape of Spatial Robustness, ICML 2019",
        arxiv="1712.02779",
        protocol=(
            "grid: 31 angles x 5 x 5 translations; worst_of_k: k uniform draws per image; random: one draw; "
            "first_order: projected gradient on the parameters. An image falls if any candidate is misclassified; "
            "of those, else of all, the one with the largest cross-entropy is kept."
        ),
        deviations=(
            "Rotation, scale and translation are one resample; the paper's CIFAR code interpolates twice.",
            "The first draws of an image are the same for random, worst_of_k and grid with k: what one finds, those "
            "with more draws find.",
            "first_order moves every parameter by `step_size` of its limit in the direction of its gradient's sign.",
        ),
    )
    version: ClassVar[int] = 2
    found: ClassVar[tuple[str, ...]] = PARAMETERS
    fills: ClassVar[bool] = True

    search: Literal["grid", "worst_of_k", "random", "first_order"] = Field(
        "grid", description="How candidates are chosen."
    )
    rotation: Number = Field(30.0, ge=0, le=180, description="Largest angle, degrees either way.")
    translation: Number = Field(3.0, ge=0, description="Largest shift along each axis, pixels either way.")
    scaling: Number = Field(0.0, ge=0, lt=1, description="Scale between 1 - scaling and 1 + scaling.")
    angles: PositiveInt = Field(31, description="grid: angles, evenly spaced.")
    shifts: PositiveInt = Field(5, description="grid: shifts along each axis, evenly spaced.")
    scales: PositiveInt = Field(1, description="grid: scales, evenly spaced; 1: none but the original.")
    k: NonNegativeInt | None = Field(
        None,
        description=(
            "Uniform draws per image: worst_of_k tries them (null: 10), grid tries them after its own candidates "
            "(null: 0), first_order starts from each (null: 1), random takes one."
        ),
    )
    steps: PositiveInt = Field(40, description="first_order: gradient steps from each start.")
    step_size: Number = Field(0.1, gt=0, description="first_order: size of a step, as a part of each limit.")
    fill: Fill = Field("zeros", description="What comes in from outside: black, the border pixel, or a reflection.")
    interpolation: Interpolation = Field("bilinear", description="How the image is resampled.")
    stop: Literal["never", "success"] = Field(
        "never", description="Look for the worst candidate, or stop an image at its first success."
    )
    then: dict[str, Any] | None = Field(
        None,
        description="An attack that goes on from the worst transform where none succeeds: {pgd: {epsilon: 8/255}}.",
    )

    @field_validator("then")
    @classmethod
    def _one_step_attack(cls, then: dict[str, Any] | None) -> dict[str, Any] | None:
        if then is None:
            return None
        built = _follow_up(then)
        return {built.registered: built.params()}

    @property
    def follow_up(self) -> StepAttack | None:
        return None if self.then is None else _follow_up(self.then)

    @property
    def limits(self) -> Limits:
        """The box of parameters."""
        return Limits(self.rotation, self.translation, self.scaling)

    @property
    def draws(self) -> int:
        """Uniform draws per image."""
        usual = {"grid": 0, "worst_of_k": 10, "random": 1, "first_order": 1}[self.search]
        return usual if self.k is None or self.search == "random" else self.k

    @property
    def typical_passes(self) -> float:
        own = 2.0 * self.draws * self.steps if self.search == "first_order" else float(self._total)
        return own + (self.follow_up.typical_passes if self.follow_up else 0)

    @property
    def _total(self) -> int:
        """Candidates of an image."""
        if self.search == "first_order":
            return self.draws * (self.steps + 1)
        return self.draws + (self.angles * self.shifts**2 * self.scales if self.search == "grid" else 0)

    def fingerprint(self) -> str:
        own = super().fingerprint()
        return own if self.follow_up is None else fingerprint([own, self.follow_up.fingerprint()])

    @property
    def bracket(self) -> str:
        return "transforms"

    def tried(self, images: int) -> Self:
        """What goes on from its result is an attack of its own."""
        return super().tried(images).model_copy(update={"then": None})

    def stream(self) -> str:
        return self.registered  # whatever the search: more draws begin with the same ones

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> SpatialState:
        n, device = len(x), x.device
        zero, count = torch.zeros(n, device=device), torch.zeros(n, dtype=torch.int64, device=device)
        found = self.limits.at(torch.zeros(n, 4, device=device))
        worst = torch.full((n,), float("-inf"), dtype=torch.float64, device=device)
        unit = self._drawn(draw, count) if self.search == "first_order" else torch.zeros_like(found)
        return SpatialState(x, goal, draw, x.clone(), zero, count.bool(), found, worst, count, unit)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, SpatialState)
        return self._climb(oracle, state) if self.search == "first_order" else self._look(oracle, state)

    def details(self, state: State) -> torch.Tensor:
        assert isinstance(state, SpatialState)
        return state.found

    def rebuild(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W) transformed with the parameters found (n, 4)."""
        angle, dx, dy, scale = found.unbind(1)
        return warp(x, angle, dx, dy, scale, fill=self.fill, interpolation=self.interpolation)

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:
        """Per image: parameters outside the limits, or a candidate that they do not give; else empty."""
        nothing = found.isnan().any(1)  # failed before it evaluated anything
        beyond = ~self.limits.contain(found) & ~nothing
        norm, budget = (self.follow_up.threat, self.follow_up.budget) if self.follow_up else ("linf", 0.0)
        away = size((candidates - self.rebuild(x, found)).double(), norm or "linf")
        other = away > (float("inf") if budget is None else allowed(budget))
        other |= nothing & (candidates != x).flatten(1).any(1)
        return [
            "parameters outside the limits" if beyond[i] else "its parameters give another image" if other[i] else ""
            for i in range(len(x))
        ]

    def _look(self, oracle: Oracle, s: SpatialState) -> SpatialState:
        """Evaluate a full batch of (image, candidate) pairs, several of an image where there is room."""
        n = len(s.x)
        room = max(oracle.batch_size, n)
        share = torch.arange(n, device=s.x.device) < room % n
        count = (self._total - s.tried).minimum(room // n + share)
        row = torch.arange(n, device=s.x.device).repeat_interleave(count)
        first = count.cumsum(0) - count
        place = torch.arange(len(row), device=s.x.device) - first[row]
        order = s.tried[row] + place
        found = self._candidate(rows(s.draw, row), order)
        images = self.rebuild(s.x[row], found)
        logits = oracle.logits(images, row)
        goal: Goal = rows(s.goal, row)
        won, value = self._worth(goal, logits, order)
        any_won = torch.zeros(n, dtype=torch.bool, device=s.x.device).index_put((row[won],), won[won])
        value = value.masked_fill(any_won[row] & ~won, float("-inf"))
        table = torch.full((n, int(count.max())), float("-inf"), dtype=torch.float64, device=s.x.device)
        table[row, place] = value
        best, at = table.max(1)
        at = first + at
        tried = s.tried + count
        done = (tried >= self._total) | (any_won & (self.stop == "success"))
        return self._better(s, any_won, best, found[at], images[at], tried, done)

    def _climb(self, oracle: Oracle, s: SpatialState) -> SpatialState:
        """One projected step on the parameters; the gradient goes back through the resampling."""
        warped = lambda unit: self.rebuild(s.x, self.limits.at(unit))
        gradient, view = oracle.through(s.unit, warped, lambda view: view.gradient(s.goal.seed(view.logits))[0])
        tried = s.tried + 1
        unit = (s.unit + self.step_size * gradient.sign()).clamp(-1, 1)
        again = tried % (self.steps + 1) == 0
        unit = torch.where(again[:, None], self._drawn(s.draw, tried // (self.steps + 1)), unit)
        won, value = self._worth(s.goal, view.logits, s.tried)
        done = (tried >= self._total) | (won & (self.stop == "success"))
        state = self._better(s, won, value, self.limits.at(s.unit), view.leaf.detach(), tried, done)
        return replace(state, unit=unit)

    def _worth(self, goal: Goal, logits: torch.Tensor, order: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether candidates succeed (m,), and how good each is among its like (m,): by its loss, NaN never.

        When stopping at a success, the first of them is the best.
        """
        won, loss = goal.secured(logits), goal.loss(logits).double()
        loss = loss.masked_fill(loss.isnan(), float("-inf"))
        return won, torch.where(won, -order, loss) if self.stop == "success" else loss

    def _better(
        self,
        s: SpatialState,
        won: torch.Tensor,
        value: torch.Tensor,
        found: torch.Tensor,
        images: torch.Tensor,
        tried: torch.Tensor,
        done: torch.Tensor,
    ) -> SpatialState:
        """The state after candidates of this value; its score falls by one with each that is better than all before."""
        better = (won & ~s.won) | ((won == s.won) & (value > s.value))
        return replace(
            s,
            won=won | s.won,
            candidate=torch.where(per_row(better, images), images, s.candidate),
            found=torch.where(better[:, None], found, s.found),
            value=torch.where(better, value, s.value),
            score=s.score - better.float(),
            tried=tried,
            done=done,
        )

    def _candidate(self, draw: Draw, order: torch.Tensor) -> torch.Tensor:
        """The parameters (m, 4) of the candidates number `order` (m,): first those of the grid, then the draws."""
        if self.search != "grid":
            return self.limits.at(self._drawn(draw, order))
        grid = _grid(self.limits, self.angles, self.shifts, self.scales).to(order.device)
        found = grid[order.clamp_max(len(grid) - 1)]
        if not self.draws:
            return found
        drawn = self.limits.at(self._drawn(draw, (order - len(grid)).clamp_min(0)))
        return torch.where((order < len(grid))[:, None], found, drawn)

    def _drawn(self, draw: Draw, number: torch.Tensor) -> torch.Tensor:
        """The uniform draw number `number` (m,) of each row, coordinates (m, 4) in the box."""
        return 2 * draw.uniform("spatial", (4,), number).double() - 1


@lru_cache(maxsize=16)
def _grid(limits: Limits, angles: int, shifts: int, scales: int) -> torch.Tensor:
    return limits.grid(angles, shifts, scales)


def _follow_up(entry: dict[str, Any]) -> StepAttack:
    """The attack of an entry {name: parameters}. Raises ValueError."""
    if len(entry) != 1:
        raise ValueError("expected one attack and its parameters, such as {pgd: {epsilon: 8/255}}")
    ((name, params),) = entry.items()
    try:
        built: Attack = attacks.build(name, params or {})
    except SuiteError as error:
        raise ValueError(str(error)) from None
    if not isinstance(built, StepAttack) or isinstance(built, Spatial) or built.minimal or not built.boxed:
        raise ValueError(
            f"{name} cannot go on from a transform; expected one image by image with a budget, such as pgd"
        )
    return built
