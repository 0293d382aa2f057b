"""Improved training of Wasserstein GANs, https://arxiv.org/abs/1704.00028 (algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.objective import AdamObjective, objectives
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number

if TYPE_CHECKING:
    from torch import nn

__all__ = ["WGANGP", "slopes"]


def slopes(critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """l2 norms (n,) of the critic's gradient between a real and a generated image; they can be differentiated again."""
    epsilon = epsilon.view(-1, *[1] * (real.ndim - 1))
    x_hat = (epsilon * real + (1 - epsilon) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    norms: torch.Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)  # its own gradient at 0 is 0, not nan
    return norms


@objectives.register("wgan_gp")
class WGANGP(AdamObjective):
    """The critic's mean score of real images less that of generated ones, its slope between them drawn to one."""

    card: ClassVar[Card] = Card(
        title="Wasserstein GAN with gradient penalty",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Penalty 10 on both sides, one epsilon per sample, five steps of the critic, Adam 1e-4 (0, 0.9); "
        "layer norm in the critic.",
    )
    critic_norm: ClassVar[Literal["batch", "layer"]] = "layer"  # batch norm would make it a function of the batch
    lr: PositiveFloat = Field(1e-4, description="Step size of both optimisers.")
    beta1: Number = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean.")
    beta2: Number = Field(0.9, ge=0, lt=1, description="Adam's decay of the square.")
    n_critic: PositiveInt = Field(5, description="Steps of the critic for one of the generator.")
    weight: PositiveFloat = Field(10.0, description="Of the penalty: lambda.")
    target: PositiveFloat = Field(1.0, description="The slope that costs nothing; 750 in ProGAN's CIFAR-10.")
    drift: NonNegativeFloat = Field(0.0, description="Of the mean squared score of real images; Karras et al.: 0.001.")

    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return fake.mean() - real.mean() + self.drift * real.square().mean()

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return -fake.mean()

    def penalty(self, critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
        """Weight * (||grad D(x_hat)|| - gamma)^2 / gamma^2, x_hat between real and generated."""
        return self.weight * (slopes(critic, real, fake, epsilon) / self.target - 1).square().mean()
