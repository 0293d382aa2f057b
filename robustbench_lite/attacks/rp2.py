"""Robust physical perturbations, graffiti on a sign (Eykholt et al., https://arxiv.org/abs/1707.08945)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from robustbench_lite.attacks._steps import descend
from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Crafted, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError, suggestion
from robustbench_lite.lazy import torch
from robustbench_lite.physical import printing
from robustbench_lite.physical.shots import Poses, Shots, paste
from robustbench_lite.registry import Number, fingerprint
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.rows import rows

__all__ = ["RP2"]

_FOUND = "l1"  # the mask that the first stage finds


@dataclass(frozen=True)
class Easel:
    """What a sticker is optimised against: the object, its mask (S, S), the goal (one row), and the draws (one row)."""

    oracle: Oracle
    shots: Shots
    mask: torch.Tensor
    goal: Goal
    draw: Draw
    samples: int


@attacks.register("rp2")
class RP2(SetAttack):
    """One sticker in the object's own coordinates, optimised by Adam over photographs of it from many places."""

    card: ClassVar[Card] = Card(
        title="Robust physical perturbations",
        paper="Eykholt et al., Robust Physical-World Attacks on Deep Learning Visual Classification, CVPR 2018",
        arxiv="1707.08945",
        protocol=(
            "argmin lambda ||M d||_p + NPS(M d) + E J(f(x_i + T_i(M d)), y*) over photographs x_i of one object, T_i "
            "aligning the noise with it. Stationary test: 15 poses, success is the target class on top; drive-by test: "
            "every 10th frame. GTSRB: target Speed limit 80, Adam with rate 0.25, 1000 epochs, lambda 0.001, p = 2, no "
            "non-printability term in the released runs."
        ),
        deviations=(
            "x_i are simulated by a camera model, or photographs of yours; poses are drawn anew for every step.",
            "The score and the variation are those of the printed colours inside the mask, per pixel of the mask.",
            "The sticker's colours stay in [0, 1]; the released code clips only the photograph.",
            "Fewer steps with a decaying rate.",
        ),
    )
    version: ClassVar[int] = 2
    needs: ClassVar[type[Shots]] = Shots  # type: ignore[type-abstract]  # only asked for, never built

    mask: str = Field(
        "two_stripes",
        description=(
            "Where the sticker is: two_stripes, octagon (the sign's face), poster (the whole sign), l1 (where a first "
            "stage with an l1 penalty puts most), or a PNG file, white inside."
        ),
    )
    area: Number = Field(0.2, gt=0, le=1, description="With mask l1: the share of the object that it covers.")
    penalty: Number = Field(0.001, ge=0, description="Weight lambda of the size of the noise.")
    p: Literal[1, 2] = Field(2, description="Norm of that size.")
    printability: Number = Field(0.0, ge=0, description="Weight of the mean non-printability score; 0: left out.")
    printable: str | None = Field(
        None, description="File of printable colours, r,g,b a line; null: `colours` spread over a printer's range."
    )
    colours: PositiveInt = Field(30, description="How many printable colours, where no file is given.")
    variation: Number = Field(0.0, ge=0, description="Weight of the mean total variation; 0: left out.")
    steps: PositiveInt = Field(300, description="Steps of Adam, in each stage.")
    step_size: Number = Field(0.1, gt=0, description="Adam's learning rate; it falls to 0 along a cosine.")
    draws: PositiveInt = Field(16, description="Photographs in each step.")
    distance: tuple[Number, Number] = Field((5, 40), description="Of the training poses, feet.")
    angle: tuple[Number, Number] = Field((-60, 60), description="Of the training poses, degrees about the vertical.")
    gain: tuple[Number, Number] = Field((0.7, 1.2), description="Exposure of the training photographs.")
    shift: Number = Field(0.04, ge=0, lt=0.5, description="How far off the crops are, as a fraction of their side.")
    zoom: tuple[Number, Number] = Field((0.92, 1.1), description="By how much the crops are too large or small.")
    control: bool = Field(
        default=False, description="In place of the sticker one of the same mask and colours, its patches shuffled."
    )

    @field_validator("distance", "angle", "gain", "zoom")
    @classmethod
    def _ascending(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError(f"expected the smaller bound first, got {list(bounds)}")
        return bounds

    @model_validator(mode="after")
    def _visible(self) -> Self:
        if self.distance[0] <= 0 or self.gain[0] <= 0 or self.zoom[0] <= 0:
            raise ValueError("distance, gain and zoom: expected numbers above 0")
        if max(map(abs, self.angle)) >= 90:
            raise ValueError("angle: expected less than 90 degrees either way, an object is not seen from behind")
        return self

    @property
    def promise(self) -> Promise:
        return Promise(reach=min(0.1, max(1 / 255, self.steps * self.step_size / 4)))  # its steps shrink along a cosine

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.draws * self.steps * (2 if self.mask == _FOUND else 1) / 15

    @property
    def poses(self) -> Poses:
        return Poses(self.distance, self.angle, self.gain, self.shift, self.zoom)

    def _files(self) -> dict[str, str]:
        named = {"mask": self.mask, "printable": self.printable}
        return {key: path for key, path in named.items() if path and path not in {*printing.MASKS, _FOUND}}

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:  # noqa: ARG002  (they lie where the command is run)
        for option, path in self._files().items():
            if not printing.content(path):
                known = suggestion(path, (*printing.MASKS, _FOUND)) if option == "mask" else ""
                yield option, f"{option}: no file '{path}' in the current folder or ROBUSTBENCH_LITE_DATA{known}"

    def fingerprint(self) -> str:
        files, own = self._files().values(), super().fingerprint()
        return fingerprint([own, *map(printing.content, files)]) if files else own

    def tried(self, images: int) -> Self:
        """On pictures of which all may change, and nothing but that is seen."""
        return super().tried(images).model_copy(update={"mask": "poster", "gain": (1.0, 1.0), "control": False})

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        """At most a batch of photographs is in memory at once, whatever `draws` is."""
        x, goal, shots = job.x, job.goal, Shots.of(job.setting, self.registered)
        first = torch.zeros(1, dtype=torch.int64, device=x.device)
        easel = Easel(oracle, shots, self._mask(x, shots), rows(goal, first), rows(job.draw, first), len(x))
        if bool((goal.label != easel.goal.label).any()):
            raise AttackError("rp2: one sticker has one goal; expected the same label or target on all photographs")
        if self.mask == _FOUND:
            easel = self._located(easel)
        noise = self._optimise(easel, self.p, self.penalty)
        if self.control:
            order = easel.draw.uniform("control", (easel.mask.numel(),))[0]
            noise = (printing.shuffled(shots.texture + noise, easel.mask, order) - shots.texture) * easel.mask
        work = lambda part: paste(x[part], noise, rows(shots.placed, torch.arange(len(x), device=x.device)[part]))
        made = {"sticker": (shots.texture + noise) * easel.mask, "mask": easel.mask, "object": shots.texture + noise}
        return Crafted(oracle.chunked(work, len(x)), artifacts=made)

    def _mask(self, x: torch.Tensor, shots: Shots) -> torch.Tensor:
        name, side = ("poster" if self.mask == _FOUND else self.mask), shots.texture.shape[-1]
        found = printing.mask(name, side).to(x)
        if not bool(found.any()):
            raise AttackError(f"mask: {self.mask} is empty, expected white where the sticker is")
        return found

    def _located(self, easel: Easel) -> Easel:
        """The mask that a first stage with an l1 penalty finds: the patches that it changes most, `area` of all."""
        noise = self._optimise(easel, 1, max(self.penalty, 0.003))
        side = max(1, easel.mask.shape[0] // 16)
        strength = torch.nn.functional.avg_pool2d(noise.abs().sum(0, keepdim=True)[None], side)[0]
        inside = torch.nn.functional.avg_pool2d(easel.mask[None], side) > 0.999
        wanted = max(1, round(self.area * int(inside.sum())))
        level = strength[inside].sort(descending=True).values[wanted - 1]
        chosen = ((strength >= level) & inside).to(easel.mask)
        mask = torch.nn.functional.interpolate(chosen[None], size=easel.mask.shape[0], mode="nearest")[0, 0]
        return Easel(easel.oracle, easel.shots, mask, easel.goal, easel.draw, easel.samples)

    def _optimise(self, easel: Easel, p: int, weight: float) -> torch.Tensor:
        """The noise (3, S, S) that keeps the object's colours in [0, 1] and is zero outside the mask."""
        texture, mask = easel.shots.texture, easel.mask
        printable = printing.triplets(self.printable) if self.printable else printing.palette(self.colours)

        def gradient(noise: torch.Tensor, step: int) -> torch.Tensor:
            slope, leaf = self._expected(easel, noise, step), noise.detach().requires_grad_()
            with torch.enable_grad():
                own = self._regular(leaf, easel, p, weight, printable)
            return (slope + torch.autograd.grad(own, leaf)[0]) * mask

        kept = lambda noise: ((texture + noise).clamp(0, 1) - texture) * mask
        return descend(torch.zeros_like(texture), gradient, kept, steps=self.steps, rate=self.step_size)

    def _regular(
        self, noise: torch.Tensor, easel: Easel, p: int, weight: float, printable: torch.Tensor
    ) -> torch.Tensor:
        """Size lambda ||M d||_p, the non-printability score and the variation."""
        texture, mask = easel.shots.texture, easel.mask
        total: torch.Tensor = weight * torch.linalg.vector_norm(noise * mask, ord=p)
        if self.printability > 0:
            inside = (texture + noise)[:, mask > 0].T
            total = total + self.printability * printing.non_printability(inside, printable) / len(inside)
        if self.variation > 0:
            total = total + self.variation * printing.total_variation((texture + noise) * mask) / mask.sum()
        return total

    def _expected(self, easel: Easel, noise: torch.Tensor, step: int) -> torch.Tensor:
        """Gradient (3, S, S) of the mean loss over this step's photographs."""
        number = torch.arange(step * self.draws, (step + 1) * self.draws, device=noise.device)
        work = lambda part: self._of_photographs(easel, noise, number[part])
        return easel.oracle.chunked(work, self.draws).sum(0) / self.draws

    def _of_photographs(self, easel: Easel, noise: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        """The same (1, 3, S, S), summed over the photographs with these numbers (m,)."""
        x, placed = easel.shots.training(self.poses, Draw(easel.draw.key.expand(len(number))), number)
        downhill = lambda view: view.gradient(rows(easel.goal, number * 0).nll(view.logits)[1])[0]
        pasted = lambda leaf: paste(x, leaf, placed)
        return easel.oracle.through(noise, pasted, downhill, number % easel.samples)[0][None]
