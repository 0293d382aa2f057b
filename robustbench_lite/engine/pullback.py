"""Vector-Jacobian products without sympy, by which `torch.autograd.grad(output, leaf, seed)` compares two shapes."""

from __future__ import annotations

from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch

__all__ = ["NO_GRADIENT", "pullback"]

NO_GRADIENT = (
    "the classifier gives no gradient in the image, which this attack needs: its forward runs under torch.no_grad, "
    "detaches, leaves PyTorch or is quantised; take that out, or attack it with an attack that needs none"
)


def pullback(output: torch.Tensor, leaf: torch.Tensor, seed: torch.Tensor, *, again: bool = False) -> torch.Tensor:
    """Gradient in `leaf` of `output` along `seed`, both (n, ...); `again` keeps the graph for another one."""
    with torch.enable_grad():
        along = (output * seed).sum()  # its slope in `output` is `seed` to the bit
    gradient: torch.Tensor | None
    (gradient,) = torch.autograd.grad(along, leaf, retain_graph=again, allow_unused=True)
    if gradient is None:
        raise AttackError(NO_GRADIENT)
    return gradient
