"""Least squares generative adversarial networks, https://arxiv.org/abs/1611.04076 (equation 9: a = 0, b = c = 1)."""

from __future__ import annotations

from typing import ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.objective import RMSPropObjective, objectives
from robustbench_lite.lazy import torch

__all__ = ["LeastSquares"]


@objectives.register("least_squares")
class LeastSquares(RMSPropObjective):
    """Scores of real images are drawn to 1, of generated ones to 0; the generator draws its own to 1."""

    card: ClassVar[Card] = Card(
        title="Least-squares GAN",
        paper="Least Squares Generative Adversarial Networks, Mao et al. 2017",
        arxiv="1611.04076",
        protocol="One step each; RMSProp 1e-4, as Gulrajani et al. train it (their figure 2).",
    )

    def critic_loss(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator_loss(self, fake: torch.Tensor) -> torch.Tensor:
        return (fake - 1).square().mean() / 2
