"""Unrestricted adversarial images from a generator (Song et al., https://arxiv.org/abs/1805.07894)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks._steps import last_only
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle, Pass
from robustbench_lite.engine.pullback import pullback
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.latents import Latents, Named
from robustbench_lite.threat.norms import project, size, steepest
from robustbench_lite.threat.rows import per_row
from robustbench_lite.threat.setting import Setting

__all__ = ["Latent"]

_FACTS = ("start", "distance")  # the numbers behind a candidate that come before its latent
_ALIKE = 1e-3  # by how much a pixel may differ where a network sums in another order


@dataclass
class LatentState(State):
    beside: Latents
    number: torch.Tensor  # (n,) of the latent that each started from
    origin: torch.Tensor  # (n, width) that latent
    z: torch.Tensor  # (n, width) where it is now
    shown: torch.Tensor  # (n, width) the latent of the candidate
    taken: torch.Tensor  # (n,) steps


@attacks.register("latent")
class Latent(StepAttack):
    """A latent near a random one whose image is of the sample's class, but not for the classifier."""

    card: ClassVar[Card] = Card(
        title="Unrestricted adversarial images",
        paper="Song et al., Constructing Unrestricted Adversarial Examples with Generative Models, NeurIPS 2018",
        arxiv="1805.07894",
        protocol=(
            "z0 random, then gradient descent on z: the attacked classifier shall err on G(z), an auxiliary one shall "
            "say the wanted class, and z shall stay near z0 (a hinge). Whether G(z) is of the wanted class people "
            "say: 5 on Mechanical Turk vote. Zhao et al. 2018 (arXiv 1710.11342): z near the latent of a given image."
        ),
        deviations=(
            "The generator knows no classes: of `starts` random latents it begins at the one whose image is nearest "
            "to the sample's, among those that the auxiliary classifier takes for its class.",
            "A second classifier, which the search never asks, stands for the people: where it does not say the "
            "sample's class there is no success.",
            "z is projected to the l2 ball around z0 instead of a hinge, and steps have a length of their own.",
        ),
    )
    needs: ClassVar[type[Latents]] = Latents
    changes: ClassVar[tuple[str, ...]] = ()

    goal: Literal["label"] = Field("label", description="Leave the true label.")
    target: None = Field(None, description="Untargeted.")
    generator: str = Field("dcgan_mnist", description="A bundled generator, by name.")
    auxiliary: str = Field(
        "smallcnn_l2_mnist", description="The classifier that steers: one of the suite, or of the zoo, by name."
    )
    second: str = Field(
        "smallcnn_linf_mnist", description="The classifier that says what an image shows; likewise, and another."
    )
    radius: Number = Field(2.0, gt=0, description="l2 distance of the latent from where it started, at most.")
    starts: PositiveInt = Field(32, description="Random latents of which the search begins at one.")
    steps: PositiveInt = Field(50, description="Gradient steps.")
    step_size: Number | None = Field(
        None, gt=0, description="Length of the first step in latent space; it falls to 0; null: 4 radius / steps."
    )
    weight: Number = Field(1.0, ge=0, description="Of the auxiliary classifier's log-likelihood beside the attacked.")
    sure: Number = Field(0.9, ge=0, lt=1, description="The auxiliary classifier's probability that ends the search.")

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.auxiliary == self.second:
            raise ValueError(f"second: {self.second} steers the search already (auxiliary); name another classifier")
        return self

    @property
    def named(self) -> Named:
        return Named(self.generator, self.auxiliary, self.second)

    @property
    def separable(self) -> bool:
        return True

    @property
    def typical_passes(self) -> float:
        return float(self.steps)

    @property
    def promise(self) -> Promise:
        return Promise()

    def stream(self) -> str:
        return f"{self.registered} {self.generator}"  # the same starts, however far and long it looks

    def names(self, setting: Setting | None) -> tuple[str, ...]:
        beside = Latents.of(setting, self.registered)
        return (*_FACTS, *(f"z{i}" for i in range(beside.width)))

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> State:  # noqa: ARG002
        raise AttackError(f"{self.registered}: expected {Latents.title}, got images")

    def begin(self, x: torch.Tensor, goal: Goal, draw: Draw, setting: Setting | None) -> LatentState:
        beside = Latents.of(setting, self.registered)
        number = self._nearest(x, goal, draw, beside)
        origin = beside.prior(draw, number)
        none = torch.zeros_like(number)
        return LatentState(
            x, goal, draw, x, none.float(), none.bool(), beside, number, origin, origin, origin, none.clone()
        )

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, LatentState)
        certain = torch.zeros_like(state.done)

        def downhill(view: Pass) -> torch.Tensor:
            slope, sure = self._steered(view, state)
            certain.copy_(sure)
            away, _ = view.gradient(state.goal.nll(view.logits)[1])
            return away + self.weight * slope

        gradient, view = oracle.through(state.z, state.beside.made, downhill)
        won = state.goal.secured(view.logits) & certain
        done = won | (state.taken >= self.steps)
        length = (self.step_size or 4 * self.radius / self.steps) * (1 - state.taken / self.steps)
        z = state.z - per_row(length, state.z) * steepest(gradient, "l2")
        moved = state.origin + project(z - state.origin, "l2", self.radius)
        now: dict[str, Any] = {"shown": state.z, "z": moved, "taken": state.taken + 1}
        return replace(state, candidate=view.leaf.detach(), score=last_only(done), won=won, done=done, **now)

    def details(self, state: State) -> torch.Tensor:
        assert isinstance(state, LatentState)
        distance = size(state.shown - state.origin, "l2")
        return torch.cat([state.number[:, None].double(), distance[:, None].double(), state.shown.double()], 1)

    def contradicted(self, job: Job, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:
        """A latent too far from a random one of this sample, or that gives another image."""
        beside, z = Latents.of(job.setting, self.registered), found[:, len(_FACTS) :].float()
        away = size(z - self._origin(job, found), "l2").double()
        images = torch.cat([beside.made(part).detach().cpu() for part in torch.split(z, 64)])
        other = ~((images - candidates).abs().flatten(1).amax(1) <= _ALIKE)
        far = ~((away <= allowed(self.radius)) & ((away - found[:, 1]).abs() <= _ALIKE))
        return [
            "its latent gives another image" if a else "its latent is farther from its start than it says" if b else ""
            for a, b in zip(other.tolist(), far.tolist(), strict=True)
        ]

    def as_far(self, job: Job, found: torch.Tensor) -> torch.Tensor:
        """The images of latents as far from the same start in a random direction."""
        beside = Latents.of(job.setting, self.registered)
        z = self._origin(job, found) + found[:, 1:2].float() * beside.direction(job.draw)
        return torch.cat([beside.made(part).detach().cpu() for part in torch.split(z, 64)])

    def _origin(self, job: Job, found: torch.Tensor) -> torch.Tensor:
        """The latents (N, width) that the numbers found (N, D) say the search began at, drawn again."""
        return Latents.of(job.setting, self.registered).prior(job.draw, found[:, 0].nan_to_num().long())

    def _nearest(self, x: torch.Tensor, goal: Goal, draw: Draw, beside: Latents) -> torch.Tensor:
        """The number (n,) of the start whose image is nearest to x among those of its class, as the auxiliary sees it.

        Where there is none, of the one that it takes most for it.
        """
        best, found = torch.full((len(x),), float("inf"), device=x.device), torch.zeros_like(goal.label)
        wanted = replace(goal, targeted=True)
        for number in range(self.starts):
            with torch.no_grad():
                images = beside.made(beside.prior(draw, number))
                margin = wanted.margin(beside.steer(images))
            worth = torch.where(margin > 0, size(images - x, "l2"), 1e6 - margin)
            found = torch.where(worth < best, number, found)
            best = best.minimum(worth)
        return found

    def _steered(self, view: Pass, state: LatentState) -> tuple[torch.Tensor, torch.Tensor]:
        """The slope (n, C, H, W) of the auxiliary's negative log-likelihood of the class; and where it is sure (n,)."""
        wanted: Goal = replace(state.goal, targeted=True)
        with torch.enable_grad():
            leaf = view.leaf.detach().requires_grad_()
            logits = state.beside.steer(leaf)
            loss, slope = wanted.nll(logits.detach())
            gradient = pullback(logits, leaf, slope)
        sure = wanted.reached(logits.detach()) & ((-loss).exp() >= self.sure)
        return gradient, sure
