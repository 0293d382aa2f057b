"""A module of the user's while it is attacked: eval mode, frozen parameters; afterwards it is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["frozen"]


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[list[str]]:
    """Eval mode and frozen parameters inside; afterwards, also after an exception, everything is as it was.

    Modes, which parameters require gradients, their gradients, and buffers: the names of those that had to be put back
    are in the list then.
    """
    roots = [(module, module.training) for module in modules]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    parameters = [(one, one.requires_grad, one.grad) for module in modules for one in module.parameters()]
    buffers = [_Buffers(module) for module in modules]
    changed: list[str] = []
    try:
        for module in modules:
            module.eval()
        for parameter, _, _ in parameters:
            parameter.requires_grad = False
        yield changed
    finally:
        for module, training in roots:
            if module.training != training:
                module.train(training)  # some do more there: adapters merge their weights for evaluation
        for part, training in modes:
            part.training = training
        for parameter, required, gradient in parameters:
            parameter.requires_grad = required
            parameter.grad = gradient
        changed += [name for kept in buffers for name in kept.put_back()]


class _Buffers:
    """Every buffer of a module, and what it held."""

    def __init__(self, module: nn.Module) -> None:
        self.kept = [
            (part, key, f"{path}.{key}".removeprefix("."), value, value.detach().clone())
            for path, part in module.named_modules()
            for key, value in part._buffers.items()  # noqa: SLF001  (the tensor may have been replaced by another)
            if value is not None
        ]

    def put_back(self) -> Iterator[str]:
        """The names of those that were changed."""
        for part, key, name, tensor, value in self.kept:
            now = part._buffers.get(key)  # noqa: SLF001
            if now is not tensor or not _same(tensor, value):
                with torch.no_grad():
                    tensor.copy_(value)
                part._buffers[key] = tensor  # noqa: SLF001
                yield name


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit, NaN included."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
