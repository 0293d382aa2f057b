"""Generative adversarial nets, https://arxiv.org/abs/1406.2661: the game of two as it is defined (equation 1)."""

from __future__ import annotations

from typing import ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.objective import AdamObjective, objectives
from robustbench_lite.lazy import torch

__all__ = ["Minimax"]


@objectives.register("minimax")
class Minimax(AdamObjective):
    """The discriminator maximises log D(x) + log(1 - D(G(z))), the generator minimises the same."""

    card: ClassVar[Card] = Card(
        title="Minimax GAN",
        paper="Generative Adversarial Nets, Goodfellow et al. 2014",
        arxiv="1406.2661",
        protocol="One step of the discriminator (k = 1), one of the generator.",
        deviations=("Adam as in DCGAN; the authors' code has SGD with a growing momentum, and dropout.",),
    )

    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        softplus = torch.nn.functional.softplus
        return softplus(-real).mean() + softplus(fake).mean()  # -log D(x) - log(1 - D(G(z))), D = sigmoid of the score

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return -torch.nn.functional.softplus(fake).mean()
