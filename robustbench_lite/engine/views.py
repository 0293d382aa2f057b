"""What a classifier is shown of an image where that is not the image itself: a random view of it, drawn anew each time.

Whoever looks at many views walks through (image, draw) pairs in chunks, so that no more than a batch of views is in
memory at once, however many draws there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from robustbench_lite.threat.draws import Draw

__all__ = ["Chain", "Views", "pairs"]


class Views(Protocol):
    """What a classifier is shown of an image: `see(x, draw, step)` gives one random view of every row."""

    def see(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """Views (n, C, H', W') in [0, 1] of the images x (n, C, H, W), differentiable in x; `step` (n,) or a number."""
        ...


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
