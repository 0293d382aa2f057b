"""A TorchScript program, from `torch.jit.script` or `torch.jit.trace`: `torchscript: net.pt`. It is code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from robustbench_lite.lazy import torch
from robustbench_lite.models._program import Program
from robustbench_lite.models.base import models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TorchScript"]


@models.register("torchscript")
class TorchScript(Program):
    """A file that `torch.jit.save` wrote; `size` and `classes` must be stated, mean and std where it has none."""

    torchscript: str = Field(description="The file.")

    @property
    def unknown(self) -> tuple[str, ...]:
        return ("size", "classes")

    def _read(self, path: Path) -> tuple[nn.Module, tuple[int, ...], int]:
        assert self.size and self.classes
        net: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return net, self.size, self.classes
