"""What attacks share that make one perturbation for all images: fitted on some, always tested on others."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.job import CONTROL, PERTURBATION, Crafted, Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.norms import size, steepest

__all__ = ["OneForAll"]


class OneForAll(SetAttack):
    needs: ClassVar[type[Fitting]] = Fitting
    universal: ClassVar[bool] = True

    goal: Literal["prediction"] = Field("prediction", description="Fooled: the prediction is not the clean one.")
    target: None = Field(None, description="Untargeted.")
    fit: PositiveInt = Field(
        500, description="Images to fit on: those next in rank after the tested samples, or of `fit_from` of the data."
    )
    clip: bool = Field(default=True, description="Clip perturbed images to [0, 1]; false: as in the paper.")

    @abstractmethod
    def fitted(self, oracle: Oracle, some: Fitting) -> tuple[torch.Tensor, tuple[str, ...]]:
        """The perturbation (1, C, H, W) for these images, and notes; the oracle's ledger has a row for each of them."""

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        """The tested images with the perturbation on them, and beside it a random one of its size."""
        found, notes = self.fitted(oracle, Fitting.of(job.setting, self.registered))
        return Crafted(self.apply(job.x, found), notes, {PERTURBATION: found, CONTROL: self.control(found)})

    def control(self, perturbation: torch.Tensor) -> torch.Tensor:
        """A random direction (1, C, H, W) of the same size in the attack's norm: what anything of that size does."""
        norm = self.threat or "linf"
        draw = Draw(keys(0, "control", [self.fingerprint()]).to(perturbation.device))
        direction = draw.normal("control", tuple(perturbation.shape[1:]))
        return steepest(direction, norm) * size(perturbation, norm)

    @property
    def boxed(self) -> bool:
        return self.clip

    @property
    def images_to_fit(self) -> int:
        return self.fit

    def tried(self, images: int) -> Self:
        return super().tried(images).model_copy(update={"fit": images})
