"""Images that need not all be in memory: what is asked of them is a part, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

__all__ = ["Pictures"]


class Pictures(Protocol):
    """Images (N, C, H, W) float32 in [0, 1]: a tensor, or whatever makes one of the part that is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | torch.Tensor, /) -> torch.Tensor: ...
