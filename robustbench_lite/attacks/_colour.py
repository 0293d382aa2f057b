"""How far colours are apart as people see them: the Euclidean distance in LAB, over all pixels, and its gradient."""

from __future__ import annotations

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.threat.norms import size

__all__ = ["distance", "slope"]


def distance(seen: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """||LAB(seen) - LAB(clean)||_2 of every row (n,), of images (n, 3, H, W) in [0, 1]."""
    return size(kornia.color.rgb_to_lab(seen) - kornia.color.rgb_to_lab(clean), "l2")


def slope(seen: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Gradient of that distance in `seen` (n, 3, H, W); zero where they are equal."""
    leaf = seen.detach().requires_grad_()
    with torch.enable_grad():
        total = distance(leaf, clean).sum()
    return torch.autograd.grad(total, leaf)[0]
