"""Randomized smoothing and its certificate, https://arxiv.org/abs/1902.02918."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.engine.certificate import ABSTAINED, Certificate
from robustbench_lite.lazy import torch
from robustbench_lite.models.defense import Defense, defenses
from robustbench_lite.registry import Number
from robustbench_lite.results.statistics import clopper_pearson
from robustbench_lite.threat.draws import Draw, keys

if TYPE_CHECKING:
    from torch import nn

__all__ = ["RandomizedSmoothing"]


@defenses.register("randomized_smoothing")
class RandomizedSmoothing(Defense):
    """Ask for the class that Gaussian noise around the image leaves most often; how far that holds is proven."""

    card: ClassVar[Card] = Card(
        title="Randomized smoothing",
        paper="Certified Adversarial Robustness via Randomized Smoothing, Cohen, Rosenfeld, Kolter 2019",
        arxiv="1902.02918",
        protocol="CERTIFY of the paper: the class by n0 draws, its share pA by n others, Clopper-Pearson's lower bound "
        "at 1 - alpha; radius sigma * Phi^-1(pA), abstained where pA may be a half. Noise is not clipped.",
        deviations=(
            "what is attacked answers by the vote of `times` draws, the same noise for every image and query; ties go "
            "to the larger mean probability",
            "its gradient is that of the logarithm of the mean probability",
        ),
    )
    sigma: Number = Field(0.25, gt=0, description="Standard deviation of the noise, for images in [0, 1].")
    times: PositiveInt = Field(25, description="Draws whose vote is the answer that is attacked.")
    n0: PositiveInt = Field(100, description="Draws that choose the class to certify.")
    n: PositiveInt = Field(1000, description="Draws that its share is estimated from.")
    alpha: Number = Field(0.001, gt=0, lt=0.5, description="Chance that a certificate is wrong.")

    @property
    def draws(self) -> int:
        return self.times

    @property
    def through(self) -> str:
        return f"gradients are those of the mean probability over its {self.times} draws"

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:
        draw = Draw(keys(0, self.registered, [str(number)]))
        return x + self.sigma * draw.normal("noise", x.shape[1:]).to(x)

    def stand_in(self, x: torch.Tensor, number: int) -> None:
        """It has a gradient of its own."""

    def around(self, net: nn.Module) -> nn.Module:
        from robustbench_lite.defenses.nets.smoothed import Smoothed  # its class statement needs torch

        return Smoothed(net, self)

    @property
    def farthest(self) -> float:
        """The radius that is certified where all draws agree: no image has a larger one."""
        return self.radius(self.n)

    def radius(self, votes: int) -> float:
        """The certified l2 radius where so many of n draws are of one class; 0: abstained."""
        low, _ = clopper_pearson(votes, self.n, confidence=1 - 2 * self.alpha)  # alpha on either side
        return self.sigma * NormalDist().inv_cdf(low) if low > 0.5 else 0.0

    def certificate(self, first: torch.Tensor, votes: torch.Tensor) -> Certificate:
        """From counts (N, K) of the classes in n0 draws, and in n others."""
        classes = first.argmax(1)
        counts = votes.gather(1, classes[:, None])[:, 0]
        radii = torch.tensor([self.radius(count) for count in counts.tolist()], dtype=torch.float64)
        return Certificate(torch.where(radii > 0, classes, ABSTAINED), radii)

    def noise(self, x: torch.Tensor, name: str, seed: int, steps: torch.Tensor) -> torch.Tensor:
        """The image x (1, C, H, W) with the noise of these draws (m,), (m, C, H, W): of the sample's name alone."""
        draw = Draw(keys(seed, "certificate", [name]).repeat(len(steps)).to(x.device))
        return x + self.sigma * draw.normal("noise", x.shape[1:], steps.to(x.device))
