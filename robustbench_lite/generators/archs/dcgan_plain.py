"""One of the seven settings of https://arxiv.org/abs/1704.00028 (figure 2)."""

from __future__ import annotations

from typing import ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.generators.architecture import architectures
from robustbench_lite.generators.archs.dcgan import DCGAN

__all__ = ["DCGANPlain"]


@architectures.register("dcgan_plain")
class DCGANPlain(DCGAN):
    """Neither network normalises."""

    card: ClassVar[Card] = Card(
        title="DCGAN without normalisation",
        paper="Improved Training of Wasserstein GANs, Gulrajani et al. 2017",
        arxiv="1704.00028",
        protocol="Fourth setting of figure 2; N(0, 0.02) as in DCGAN.",
    )
    normalised: ClassVar[bool] = False
