"""A program of `torch.export`, a .pt2 file: `export: net.pt2`. It is code, and PyTorch unpickles parts of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models._program import Program
from robustbench_lite.models.base import models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Export"]

_IMAGES = 4  # dimensions


@models.register("export")
class Export(Program):
    """A file that `torch.export.save` wrote, for batches of any size; images and classes are those of the program."""

    export: str = Field(description="The .pt2 file.")

    def _read(self, path: Path) -> tuple[nn.Module, tuple[int, ...], int]:
        from robustbench_lite.models.archs.exported import Exported  # its class statement needs torch

        program = torch.export.load(path)
        images, logits = self._shapes(program)
        if isinstance(images[0], int):
            raise ModelError(
                f"{self.title}: '{path.name}' was exported for batches of {images[0]} and takes no others; export it "
                "for any, torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim('batch')},))"
            )
        if not all(isinstance(side, int) for side in images[1:]):
            images = (images[0], *(self.size or self._unstated()))
        return Exported(program), tuple(int(side) for side in images[1:]), int(logits[-1])

    def _unstated(self) -> tuple[int, ...]:
        raise ModelError(f"{self.title}: size: the program takes images of any size; state `size`")

    def _shapes(self, program: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Of the images (N, C, H, W) and of the first tensor of two dimensions that it returns; N may be a symbol."""
        value = {node.name: node.meta.get("val") for node in program.graph.nodes}
        given = [tuple(value[name].shape) for name in program.graph_signature.user_inputs if name in value]
        if len(given) != 1 or len(given[0]) != _IMAGES:
            raise ModelError(f"{self.title}: expected a program of one batch of images (N, C, H, W), got {given}")
        made = [tuple(value[name].shape) for name in program.graph_signature.user_outputs if name in value]
        flat = [shape for shape in made if len(shape) == 2]
        return given[0], (flat or [(1, 1)])[0]
