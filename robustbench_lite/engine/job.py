"""The work of an attack: the samples it is given, and what it hands back for all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

from robustbench_lite.guards.transfer import sent
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from robustbench_lite.threat.goal import Goal

__all__ = ["CONTROL", "PERTURBATION", "Crafted", "Fitted", "Fitting", "Job"]

# artifacts (1, C, H, W) that who judges knows: one perturbation on all images, and a random one of the same size
PERTURBATION, CONTROL = "perturbation", "control"


@dataclass
class Job:
    """The samples to attack: images (N, C, H, W) in [0, 1], the goal and the draws, a row each; and where.

    `place`: that of the first of them among how many, where they are a part of these; None: they are all.
    """

    x: torch.Tensor
    goal: Goal
    draw: Draw
    setting: Setting | None = None
    place: tuple[int, int] | None = None

    def to(self, device: torch.device) -> Job:
        """The same on the device."""
        setting = None if self.setting is None else self.setting.to(device)
        return Job(sent(self.x, device), *_moved(self.goal, self.draw, device), setting, self.place)


@dataclass
class Fitting(Setting):
    """Other images (M, C, H, W) than those that are attacked, to fit on, with their goal and draws."""

    title: ClassVar[str] = "images to fit on"
    bracket: ClassVar[str] = "fitted"

    x: torch.Tensor
    goal: Goal
    draw: Draw

    @property
    def others(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Self:
        goal, draw = _moved(self.goal, self.draw, device)
        return replace(self, x=sent(self.x, device), goal=goal, draw=draw)


@dataclass
class Fitted(Setting):
    """What a universal attack has made of its images to fit on already, and what they cost: `counts` (4,) of a ledger.

    It takes their place where samples of the same cell are still to be perturbed.
    """

    title: ClassVar[str] = "what was fitted"
    bracket: ClassVar[str] = "fitted"

    artifacts: dict[str, torch.Tensor]
    notes: tuple[str, ...]
    counts: torch.Tensor
    seconds: float

    def to(self, device: torch.device) -> Self:
        artifacts = {name: value.to(device) for name, value in self.artifacts.items()}
        return replace(self, artifacts=artifacts, counts=self.counts.to(device))


@dataclass
class Crafted:
    """What a set attack proposes: candidates (N, C, H, W), what it has to say about the set, and what it made.

    An artifact PERTURBATION is what was added to every image (`Attack.apply`); CONTROL is judged beside it.
    `claimed` (N,): which of them it takes for successes itself; `reasons`: why there is none, a text for each, empty
    where there is one.
    """

    candidates: torch.Tensor
    notes: tuple[str, ...] = ()
    artifacts: dict[str, torch.Tensor] = field(default_factory=dict)
    claimed: torch.Tensor | None = None
    reasons: tuple[str, ...] = ()


def _moved(goal: Goal, draw: Draw, device: torch.device) -> tuple[Goal, Draw]:
    return replace(goal, label=sent(goal.label, device)), Draw(sent(draw.key, device))
