"""Generative adversarial nets, https://arxiv.org/abs/1406.2661: what the paper trains with (section 3)."""

from __future__ import annotations

from typing import ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.losses.minimax import Minimax
from robustbench_lite.generators.objective import objectives
from robustbench_lite.lazy import torch

__all__ = ["NonSaturating"]


@objectives.register("non_saturating")
class NonSaturating(Minimax):
    """The generator maximises log D(G(z)): its gradient is large where the discriminator is sure."""

    card: ClassVar[Card] = Card(
        title="Non-saturating GAN",
        paper="Generative Adversarial Nets, Goodfellow et al. 2014",
        arxiv="1406.2661",
        protocol="One step of the discriminator, one of the generator; Adam as in DCGAN (2e-4, beta1 0.5).",
    )

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-fake).mean()
