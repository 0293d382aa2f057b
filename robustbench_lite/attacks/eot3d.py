"""Expectation over transformation on textured objects (Athalye et al., https://arxiv.org/abs/1707.07397)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from robustbench_lite.attacks import _colour
from robustbench_lite.attacks._steps import descend
from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Crafted, Job
from robustbench_lite.engine.oracle import Oracle, Pass
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.physical.scene import Scene
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.rows import rows
from robustbench_lite.threat.setting import Views

__all__ = ["EOT3D"]


@dataclass
class Sitter:
    """One object that is worked on: its texture x (1, C, T, T), its row in the oracle's ledger, and how it is seen."""

    oracle: Oracle
    row: int
    x: torch.Tensor
    goal: Goal
    draw: Draw
    views: Views

    def see(self, texture: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """The views (m, C, H, W) with these numbers (m,) of a texture (1, C, T, T)."""
        draw = Draw(self.draw.key.expand(len(numbers)))
        return self.views.see(texture.expand(len(numbers), -1, -1, -1), draw, numbers)

    def rows(self, n: int) -> torch.Tensor:
        """Its row, n times."""
        return torch.full((n,), self.row, device=self.x.device)


@attacks.register("eot3d")
class EOT3D(SetAttack):
    """Ascent on the mean log-probability of the goal over views of an object, in its texture."""

    card: ClassVar[Card] = Card(
        title="Expectation over transformation (3D)",
        paper="Athalye et al., Synthesizing Robust Adversarial Examples, ICML 2018",
        arxiv="1707.07397",
        protocol=(
            "Maximise E log P(y_t | t(x')) - lambda E ||LAB(t(x')) - LAB(t(x))||_2 over the texture by projected "
            "gradients; batches of 40 views, of which up to 80 % are those of the step before; four weights lambda, "
            "chosen on 100 held-out views (at least 90 % adversarial); evaluated on 100 views."
        ),
        deviations=(
            "Of several weights the largest one counts that reaches the wanted share on held-out views, the least "
            "visible; if none does, the one with the largest share. The largest is tried first.",
            "Untargeted: log (1 - P(y | t(x'))) takes the place of log P(y_t | t(x')).",
            "The optimiser is Adam, its steps clipped to the box, their size falling along a cosine; the paper says "
            "projected gradients.",
        ),
    )
    version: ClassVar[int] = 2
    changes: ClassVar[tuple[str, ...]] = ("step_size",)
    needs: ClassVar[type[Scene]] = Scene

    evaluation_draws: PositiveInt = Field(100, description="Views of each object that the judge scores.")

    penalty: tuple[Number, ...] = Field(
        (0.001,),
        description="Weights lambda of the mean LAB distance (Euclidean, over all pixels of a view); 0: none.",
    )
    steps: PositiveInt = Field(150, description="Gradient steps with each weight.")
    step_size: Number = Field(
        0.02,
        gt=0,
        description="Adam's learning rate, or the length of a signed step, at first; it falls to 0 along a cosine.",
    )
    optimizer: Literal["adam", "signed"] = Field("adam", description="Adam, or the sign of the gradient.")
    draws: PositiveInt = Field(40, description="Views in each step.")
    fresh: PositiveInt = Field(8, description="Of these, views that the step before did not have.")
    held_out: PositiveInt = Field(100, description="Further views that choose between several weights.")
    wanted: Number = Field(0.9, gt=0, le=1, description="The share of them where the goal must be reached.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.penalty or min(self.penalty) < 0:
            raise ValueError("penalty: expected at least one number, none below 0")
        if self.fresh > self.draws:
            raise ValueError(f"fresh: expected at most the {self.draws} views of a step, got {self.fresh}")
        return self

    @property
    def promise(self) -> Promise:
        return Promise(reach=min(0.1, max(1 / 255, self.steps * self.step_size / 4)))  # its steps shrink along a cosine

    @property
    def typical_passes(self) -> float:
        return len(self.penalty) * (2.0 * self.draws * self.steps + (self.held_out if len(self.penalty) > 1 else 0))

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        """At most a batch of views is in memory at once, whatever `draws` and `held_out` are."""
        x, views = job.x, self.views(Scene.of(job.setting, self.registered))
        assert views is not None
        if max(self.penalty) > 0 and x.shape[1] != 3:
            raise AttackError(f"eot3d: penalty is a distance of colours, expected 3 channels, got {x.shape[1]}")
        every = torch.arange(len(x), device=x.device)[:, None]
        sitters = [
            Sitter(oracle, i, x[at], rows(job.goal, at), rows(job.draw, at), views) for i, at in enumerate(every)
        ]
        found, notes = zip(*(self._search(sitter) for sitter in sitters), strict=True)
        textures = torch.cat(found)
        artifacts = {f"texture {i}" if len(x) > 1 else "texture": part for i, part in enumerate(textures)}
        return Crafted(textures, tuple(note for note in notes if note), artifacts)

    def _search(self, sitter: Sitter) -> tuple[torch.Tensor, str]:
        """The texture that the largest sufficient weight gives, and what the held-out views say of it."""
        if len(self.penalty) == 1:
            return self._optimise(sitter, self.penalty[0]), ""
        tried: list[tuple[float, float]] = []
        best: tuple[float, torch.Tensor] = (-1.0, sitter.x)
        for weight in sorted(self.penalty, reverse=True):
            texture = self._optimise(sitter, weight)
            share = self._share(sitter, texture)
            tried.append((weight, share))
            best = max(best, (share, texture), key=lambda pair: pair[0])
            if share >= self.wanted:
                break
        said = ", ".join(f"{weight:g}: {share:.0%}" for weight, share in tried)
        return best[1], f"adversarial on {self.held_out} held-out views by penalty: {said}"

    def _optimise(self, sitter: Sitter, weight: float) -> torch.Tensor:
        def gradient(texture: torch.Tensor, step: int) -> torch.Tensor:
            numbers = torch.arange(step * self.fresh, step * self.fresh + self.draws, device=texture.device)
            return -self._gradient(sitter, texture, numbers, weight)

        kept, signed = lambda texture: texture.clamp(0, 1), self.optimizer == "signed"
        return descend(sitter.x, gradient, kept, steps=self.steps, rate=self.step_size, signed=signed)

    def _gradient(self, sitter: Sitter, texture: torch.Tensor, numbers: torch.Tensor, weight: float) -> torch.Tensor:
        """Gradient (1, C, T, T) of the objective's mean over the views with these numbers (m,)."""
        work = lambda part: self._of_views(sitter, texture, numbers[part], weight)
        parts = sitter.oracle.chunked(work, len(numbers))
        return parts.sum(0, keepdim=True) / len(numbers)

    def _of_views(self, sitter: Sitter, texture: torch.Tensor, numbers: torch.Tensor, weight: float) -> torch.Tensor:
        """The same (1, C, T, T), the sum over a chunk of views."""

        def uphill(view: Pass) -> torch.Tensor:
            _, slope = rows(sitter.goal, row * 0).nll(view.logits)
            gradient, _ = view.gradient(-slope)
            if weight == 0:
                return gradient
            return gradient - weight * _colour.slope(view.leaf, sitter.see(sitter.x, numbers))

        row = sitter.rows(len(numbers))
        return sitter.oracle.through(texture, lambda x: sitter.see(x, numbers), uphill, row)[0]

    def _share(self, sitter: Sitter, texture: torch.Tensor) -> float:
        """In which share of the held-out views the goal is reached; their numbers are below 0, as no step's are."""
        numbers = -1 - torch.arange(self.held_out, device=texture.device)

        def reached(part: slice) -> torch.Tensor:
            row = sitter.rows(len(numbers[part]))
            logits = sitter.oracle.logits(sitter.see(texture, numbers[part]), row)
            return rows(sitter.goal, row * 0).reached(logits)

        return float(sitter.oracle.chunked(reached, self.held_out).double().mean())
