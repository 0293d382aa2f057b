"""The identity as a backward pass (BPDA; Athalye, Carlini and Wagner, https://arxiv.org/abs/1802.00420)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["go_straight"]


class _Straight(torch.autograd.Function):
    """What a part returns, and in the backward pass the identity."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, returned: Tensor) -> Tensor:  # noqa: ARG004  (nothing is kept)
        return returned.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradient, None


def go_straight(module: nn.Module, x: Tensor) -> list[str]:
    """Gradients go straight through the parts of the module that give none, as images x (N, C, H, W) show: their names.

    A part is a module inside whose output has the shape of its input; of nested ones the outermost. What the module
    computes does not change by a bit.
    """
    shut: list[str] = []
    for name, part, given in _alike(module, x):
        if not any(name.startswith(f"{outer}.") for outer in shut) and _gives_none(part, given):
            part.register_forward_hook(lambda _, given, returned: _Straight.apply(given[0], returned))
            shut.append(name)
    return shut


def _alike(module: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Parts that return what has the shape of what they are given, outermost first, and what they were given."""
    seen: dict[str, Tensor] = {}
    names = {part: name for name, part in module.named_modules() if name}

    def watch(part: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        tensors = len(given) == 1 and isinstance(given[0], Tensor) and isinstance(returned, Tensor)
        if tensors and given[0].shape == returned.shape and returned.is_floating_point():
            seen[names[part]] = given[0].detach().clone()

    with torch.no_grad(), ExitStack() as stack:
        for part in names:
            stack.callback(part.register_forward_hook(watch).remove)
        module(x.clone())
    return [(name, part, seen[name]) for part, name in names.items() if name in seen]


def _gives_none(part: nn.Module, given: Tensor) -> bool:
    """Whether no gradient comes back through it, or one that is zero throughout."""
    with torch.enable_grad():
        leaf = given.requires_grad_()
        returned = part(leaf.clone())
    if not returned.requires_grad:
        return True
    (gradient,) = torch.autograd.grad(returned.sum(), leaf, allow_unused=True)
    return gradient is None or not bool(gradient.any())
