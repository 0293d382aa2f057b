"""Differentiable transformations of images, and distributions of them; one kind of operation a file."""

from robustbench_lite.transforms.distribution import Distribution, Operations, Range, within
from robustbench_lite.transforms.limits import PARAMETERS, Limits
from robustbench_lite.transforms.warp import Fill, Interpolation

__all__ = [
    "PARAMETERS",
    "Distribution",
    "Fill",
    "Interpolation",
    "Limits",
    "Operations",
    "Range",
    "within",
]
