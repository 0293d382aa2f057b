"""A program of `torch.export` as a module of its kind: it is fixed, so neither mode is a matter of `train()`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

__all__ = ["Exported"]


class Exported(nn.Module):
    """The program's own parameters and buffers, and what it computes; what was random when exported stays random."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.net: Any = program.module()
        self.training = False
        for part in self.net.modules():
            part.training = False  # PyTorch refuses eval(): dropout and batch norm are part of the program

    def train(self, mode: bool = True) -> Exported:  # noqa: ARG002  (the signature is PyTorch's)
        return self

    def forward(self, x: Tensor) -> Any:
        return self.net(x)
