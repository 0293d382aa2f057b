"""What attacks share that are fitted on some images and always tested on others; one perturbation for all images."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.job import CONTROL, PERTURBATION, Crafted, Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size, steepest

__all__ = ["Fitter", "OneForAll", "aimed", "control"]


class Fitter(SetAttack):
    """Fitted once on other images, whatever part of the samples is asked for."""

    needs: ClassVar[type[Fitting]] = Fitting
    universal: ClassVar[bool] = True

    fit: PositiveInt = Field(
        500, description="Images to fit on: those next in rank after the tested samples, or of `fit_from` of the data."
    )

    @property
    def images_to_fit(self) -> int:
        return self.fit

    def tried(self, images: int) -> Self:
        return super().tried(images).model_copy(update={"fit": images})


class OneForAll(Fitter):
    """One perturbation for all images."""

    goal: Literal["prediction"] = Field("prediction", description="Fooled: the prediction is not the clean one.")
    target: None = Field(None, description="Untargeted.")
    clip: bool = Field(default=True, description="Clip perturbed images to [0, 1]; false: as in the paper.")

    @abstractmethod
    def fitted(self, oracle: Oracle, some: Fitting) -> tuple[torch.Tensor, tuple[str, ...]]:
        """The perturbation (1, C, H, W) for these images, and notes; the oracle's ledger has a row for each of them."""

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        """The tested images with the perturbation on them, and beside it a random one of its size."""
        found, notes = self.fitted(oracle, Fitting.of(job.setting, self.registered))
        made = {PERTURBATION: found, CONTROL: control(self, found, size(found, self.threat or "linf"))}
        return Crafted(self.perturbed(job.x, made), notes, made)

    @property
    def boxed(self) -> bool:
        return self.clip


def control(attack: SetAttack, like: torch.Tensor, length: torch.Tensor | float) -> torch.Tensor:
    """A random direction (1, C, H, W), of that length in the attack's norm: what anything of that size does."""
    draw = Draw(keys(0, "control", [attack.fingerprint()]).to(like.device))
    return steepest(draw.normal("control", tuple(like.shape[1:])), attack.threat or "linf") * length


def aimed(predicted: Goal, target: int | None) -> Goal:
    """Away from what the classifier predicts, or towards the target."""
    if target is None:
        return predicted
    label = torch.full_like(predicted.label, target)
    return Goal(label, predicted.classes, targeted=True, members=predicted.members)
