"""Adversarial patches: one picture that is stuck anywhere (Brown et al., https://arxiv.org/abs/1712.09665)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, pi, sqrt
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from robustbench_lite.attacks._one_for_all import Fitter, aimed
from robustbench_lite.attacks._steps import descend
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.job import Crafted, Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.rows import per_row, rows

__all__ = ["AdversarialPatch"]

PATCH = "patch"  # the artifact: the picture (1, C, S, S) in [0, 1]
_GREY = 0.5  # where it begins


@attacks.register("adversarial_patch")
class AdversarialPatch(Fitter):
    """One picture, fitted on other images, that takes over wherever it is stuck; all other pixels stay as they are."""

    card: ClassVar[Card] = Card(
        title="Adversarial patch",
        paper="Brown et al., Adversarial Patch, NIPS 2017 workshop on machine learning and computer security",
        arxiv="1712.09665",
        protocol=(
            "argmax over the patch of E log P(target | A(patch, x, place, turn and scale)), the expectation over "
            "training images and random places, rotations and sizes; success is the target class on top, on other "
            "images and new places, by the share of the image that the patch covers; circular."
        ),
        deviations=(
            "Adam from grey with a rate that falls to 0 along a cosine.",
            "target: null leaves what the classifier predicts, which the paper has not.",
            "The paper does not say its ranges; rotations up to 22.5 degrees are the usual choice of others.",
        ),
    )
    found: ClassVar[tuple[str, ...]] = ("x", "y", "angle", "area")  # pixels, degrees, share of the image

    target: NonNegativeInt | None = Field(
        None, description="The class that every image shall be taken for, as in the paper; null: any but the own."
    )
    area: Number = Field(0.1, gt=0, le=0.5, description="Largest share of the image's area that the patch covers.")
    smallest: Number = Field(
        0.7, gt=0, le=1, description="Its smallest diameter beside the largest; uniform between the two."
    )
    rotation: Number = Field(22.5, ge=0, le=180, description="Largest angle, degrees either way.")
    shape: Literal["circle", "square"] = Field("circle", description="Of the patch.")
    steps: PositiveInt = Field(300, description="Steps of Adam.")
    batch: PositiveInt = Field(32, description="Images in a step, each with a place of its own.")
    step_size: Number = Field(0.2, gt=0, description="Adam's learning rate; it falls to 0 along a cosine.")

    @property
    def bracket(self) -> str:
        return "patches"

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.batch / self.fit

    @property
    def spends(self) -> bool:
        return False

    def tried(self, images: int) -> Self:
        """Between two classes."""
        return super().tried(images).model_copy(update={} if self.target is None else {"target": 1})

    def stream(self) -> str:
        return self.registered  # whatever the patch: it is stuck at the same places

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        made = {PATCH: self._fitted(oracle, Fitting.of(job.setting, self.registered))}
        return Crafted(self.proposed(job.x, job.draw, made)[0], (), made)

    def proposed(
        self, x: torch.Tensor, draw: Draw, made: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.places(x, draw, 0)
        return self.stuck(x, made[PATCH].to(x), found), found

    def places(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """Where the patch is on each image: centre, angle and area (n, 4), wholly in the image; float64."""
        size = x.new_tensor([x.shape[3], x.shape[2]], dtype=torch.float64)
        unit = draw.uniform("place", (4,), step).double()
        angle = self.rotation * (2 * unit[:, 2] - 1)
        area = self.area * (self.smallest + (1 - self.smallest) * unit[:, 3]) ** 2
        half = self._half(area, x)
        turn = angle.deg2rad()
        reach = half if self.shape == "circle" else half * (turn.cos().abs() + turn.sin().abs())
        room = size / 2 - reach[:, None]
        if bool((room < 0).any()):
            raise AttackError(
                f"area: a {self.shape} of {100 * self.area:g} % does not fit into images of {x.shape[2]}x{x.shape[3]}; "
                "expected a smaller one"
            )
        centre = (size - 1) / 2 + room * (2 * unit[:, :2] - 1)
        return torch.stack([*centre.unbind(1), angle, area], 1)

    def stuck(self, x: torch.Tensor, patch: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W) with the patch (1, C, S, S) at these places (n, 4) on them; differentiable."""
        grid, inside = self._seen(x, found)
        shown = torch.nn.functional.grid_sample(
            patch.double().expand(len(x), -1, -1, -1), grid, padding_mode="border", align_corners=False
        )
        return torch.where(inside[:, None], shown.to(x.dtype), x)

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:
        """Per image: a patch that is too large, or another pixel that has changed; else empty."""
        area = found[:, 3].nan_to_num()  # failed before there was one
        large = (area > self.area * (1 + 1e-9)).tolist()
        inside = self._seen(x, found.nan_to_num())[1]
        other = ((candidates != x) & ~inside[:, None]).flatten(1).any(1).tolist()
        return [
            f"the patch covers {100 * float(area[i]):.4g} %, more than {100 * self.area:.4g} % of the image"
            if large[i]
            else "a pixel outside of the patch has changed"
            if other[i]
            else ""
            for i in range(len(x))
        ]

    def as_far(self, job: Job, found: torch.Tensor) -> torch.Tensor:
        """A patch of random colours at the same places: what covering the image does."""
        side, channels = self._side(job.x), job.x.shape[1]
        noise = Draw(keys(0, "control", [self.registered])).uniform("colours", (channels, side, side))
        return self.stuck(job.x, noise.to(job.x), found)

    def _half(self, area: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Radius, or half a side, in pixels of a patch that covers this share (n,) of the images x."""
        pixels = area * (x.shape[2] * x.shape[3])
        return (pixels / pi).sqrt() if self.shape == "circle" else pixels.sqrt() / 2

    def _side(self, x: torch.Tensor) -> int:
        """Pixels along a side of the picture: as many as it is wide at its largest."""
        pixels = self.area * x.shape[2] * x.shape[3]
        return max(1, ceil(2 * sqrt(pixels / pi) if self.shape == "circle" else sqrt(pixels)))

    def _seen(self, x: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in the picture each pixel of an image looks, (n, H, W, 2) in [-1, 1], and whether inside (n, H, W)."""
        height, width = x.shape[2:]
        down, right = torch.meshgrid(
            torch.arange(height, dtype=torch.float64, device=x.device),
            torch.arange(width, dtype=torch.float64, device=x.device),
            indexing="ij",
        )
        dx, dy = (axis - per_row(at, down[None]) for axis, at in zip((right, down), found.unbind(1)[:2], strict=True))
        turn, half = found[:, 2].deg2rad(), per_row(self._half(found[:, 3], x), dx)
        cos, sin = per_row(turn.cos(), dx), per_row(turn.sin(), dx)
        grid = torch.stack([(cos * dx - sin * dy) / half, (sin * dx + cos * dy) / half], 3)
        away = grid.square().sum(3).sqrt() if self.shape == "circle" else grid.abs().amax(3)
        return grid, away <= 1

    def _fitted(self, oracle: Oracle, some: Fitting) -> torch.Tensor:
        """The picture (1, C, S, S): descent on the mean loss over images and places, new ones in every step."""
        goal, n, m = aimed(some.goal, self.target), len(some.x), min(self.batch, len(some.x))
        side = self._side(some.x)

        def gradient(patch: torch.Tensor, step: int) -> torch.Tensor:
            turn, at = divmod(step, n // m)
            part = some.draw.uniform("order", (1,), turn)[:, 0].argsort()[at * m : (at + 1) * m]
            x, own = some.x[part], rows(goal, part)
            places = self.places(x, rows(some.draw, part), step + 1)

            def of(piece: slice) -> torch.Tensor:
                index = torch.arange(m, device=x.device)[piece]
                stuck = lambda leaf: self.stuck(x[index], leaf, places[index])
                downhill = lambda view: view.gradient(rows(own, index).nll(view.logits)[1])[0]
                return oracle.through(patch, stuck, downhill, part[index])[0]

            return oracle.chunked(of, m).sum(0, keepdim=True) / m

        begun = torch.full((1, some.x.shape[1], side, side), _GREY, dtype=some.x.dtype, device=some.x.device)
        kept = lambda patch: patch.clamp(0, 1)
        return descend(begun, gradient, kept, steps=self.steps, rate=self.step_size)
