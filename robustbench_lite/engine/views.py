"""Random views of images, drawn anew each time: several distributions in a row, and how many views are walked through.

Whoever looks at many views walks through (image, draw) pairs in chunks, so that no more than a batch of views is in
memory at once, however many draws there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from robustbench_lite.threat.draws import Draw
    from robustbench_lite.threat.setting import Views

__all__ = ["Chain", "pairs"]


@dataclass(frozen=True)
class Chain:
    """Views of views, one after the other."""

    parts: tuple[Views, ...]

    def see(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        for part in self.parts:
            x = part.see(x, draw, step)
        return x


def pairs(
    n: int, draws: int, most: int, device: torch.device | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(row, draw), each (m,), of all pairs of n rows and so many draws, at most `most` at a time, row by row."""
    for start in range(0, n * draws, most):
        pair = torch.arange(start, min(start + most, n * draws), device=device)
        yield pair // draws, pair % draws
