"""What is proven of a classifier around each image, whatever an attack finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustbench_lite.lazy import torch

__all__ = ["ABSTAINED", "Certificate"]

ABSTAINED = -1  # in the place of a class: nothing is proven


@dataclass(frozen=True)
class Certificate:
    """Of images (n,) the class that is proven, or `ABSTAINED`, and the l2 radius within which it is the answer."""

    classes: torch.Tensor  # int64
    radii: torch.Tensor  # float64; 0 where it abstained
