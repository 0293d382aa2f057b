"""Wasserstein GAN, https://arxiv.org/abs/1701.07875 (algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.objective import RMSPropObjective, objectives
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["WGAN"]


@objectives.register("wgan")
class WGAN(RMSPropObjective):
    """The critic's mean score of real images less that of generated ones, its weights clipped."""

    card: ClassVar[Card] = Card(
        title="Wasserstein GAN",
        paper="Wasserstein GAN, Arjovsky, Chintala, Bottou 2017",
        arxiv="1701.07875",
        protocol="RMSProp 5e-5, clipping at 0.01, five steps of the critic for one of the generator; a hundred for the "
        "first 25 and at every 500th, as in the authors' code.",
    )
    lr: PositiveFloat = Field(5e-5, description="Step size of both optimisers.")
    n_critic: PositiveInt = Field(5, description="Steps of the critic for one of the generator.")
    clip: PositiveFloat = Field(0.01, description="Largest size of a weight of the critic.")
    warm_up: NonNegativeInt = Field(25, description="The first steps of the generator, before which the critic learns.")
    every: PositiveInt = Field(500, description="How often it learns as much again, in steps of the generator.")
    n_warm_up: PositiveInt = Field(100, description="Steps of the critic before each of those.")

    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return -fake.mean()

    def constrain(self, critic: nn.Module) -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-self.clip, self.clip)

    def critic_steps(self, step: int) -> int:
        return self.n_warm_up if step < self.warm_up or step % self.every == 0 else self.n_critic
