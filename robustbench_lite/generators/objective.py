"""What critic and generator minimise, with the optimiser and the schedule of its paper; one objective per file.

A critic maps images to scores (n,): logits of being real, or numbers of no bounds. Every loss is a mean over a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Number, Records

if TYPE_CHECKING:
    from torch import nn

__all__ = ["AdamObjective", "Objective", "RMSPropObjective", "objectives"]


class Objective(Config, ABC):
    """A game of two: what each minimises, and how."""

    card: ClassVar[Card]
    critic_norm: ClassVar[Literal["batch", "layer"]] = "batch"  # what a critic that normalises does it with
    n_critic: PositiveInt = Field(1, description="Steps of the critic for one of the generator.")
    lr: PositiveFloat = Field(description="Step size of both optimisers.")

    @abstractmethod
    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """From the critic's scores (n,) of real and of generated images."""

    @abstractmethod
    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        """From the critic's scores (n,) of generated images."""

    @abstractmethod
    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """As the paper has it, for either network."""

    def penalty(
        self,
        critic: nn.Module,  # noqa: ARG002
        real: torch.Tensor,
        fake: torch.Tensor,  # noqa: ARG002
        epsilon: torch.Tensor,  # noqa: ARG002
    ) -> torch.Tensor:
        """What the critic's loss has beside scores; `epsilon` (n,) in (0, 1), one number per sample."""
        return real.new_zeros(())

    def constrain(self, critic: nn.Module) -> None:
        """What is done to the critic's weights after each of its steps."""

    def critic_steps(self, step: int) -> int:  # noqa: ARG002
        """How many steps the critic takes before the generator's step number `step`, counted from 0."""
        return self.n_critic


objectives: Records[Objective] = Records("objective", "robustbench_lite.generators.losses")


class AdamObjective(Objective):
    """One that its paper minimises with Adam; by default as DCGAN does."""

    lr: PositiveFloat = Field(2e-4, description="Step size of both optimisers.")
    beta1: Number = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean.")
    beta2: Number = Field(0.999, ge=0, lt=1, description="Adam's decay of the square.")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, betas=(self.beta1, self.beta2))


class RMSPropObjective(Objective):
    """One that its paper minimises with RMSProp: no momentum."""

    lr: PositiveFloat = Field(1e-4, description="Step size of both optimisers.")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=self.lr)
