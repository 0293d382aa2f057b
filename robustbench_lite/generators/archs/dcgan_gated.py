"""One of the seven settings of https://arxiv.org/abs/1704.00028 (figure 2)."""

from __future__ import annotations

from typing import ClassVar, Literal

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import architectures
from robustbench_lite.generators.archs.dcgan import DCGAN

__all__ = ["DCGANGated"]


@architectures.register("dcgan_gated")
class DCGANGated(DCGAN):
    """Multiplicative gates in place of ReLU and LeakyReLU: sigmoid(a) tanh(b)."""

    card: ClassVar[Card] = Card(
        title="DCGAN, gated",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Fifth setting of figure 2; N(0, 0.02) as in DCGAN.",
    )
    activation: ClassVar[Literal["relu", "tanh", "gated"]] = "gated"
