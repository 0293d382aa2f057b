"""The loss of every classifier on a plane of perturbations of an image."""

from __future__ import annotations

from typing import ClassVar

from robustbench_lite.figures._losses import Losses
from robustbench_lite.figures._plane import Planes
from robustbench_lite.figures.base import figures

__all__ = ["LossLandscape"]


@figures.register("loss_landscape")
class LossLandscape(Losses, Planes):
    """Cross-entropy of the true class over the plane through an image, in nats."""

    title: ClassVar[str] = "Loss landscape"
