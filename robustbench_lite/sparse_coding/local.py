"""Local sizes, the worst of each signal: nonzeros of a stripe or a patch, and the length of a patch."""

from __future__ import annotations

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.dictionary import Dictionary

__all__ = ["NEEDLE", "Patch", "energy", "patch_sparsity", "shrunk", "stripe_sparsity"]

Patch = tuple[tuple[int, int], int]  # sides, and the stride from one patch to the next
NEEDLE: Patch = ((1, 1), 1)  # all channels at one position: the patch of the deepest layer, which no atom looks at


def _sums(values: torch.Tensor, patch: Patch, padding: tuple[int, int] = (0, 0)) -> torch.Tensor:
    """Of values (n, C, H, W) over all channels of every patch (n, 1, a, b)."""
    sides, stride = patch
    window = torch.ones((1, 1, *sides), dtype=values.dtype, device=values.device)
    return torch.nn.functional.conv2d(values.sum(1, keepdim=True), window, stride=stride, padding=padding)


def _most(sums: torch.Tensor) -> torch.Tensor:
    return sums.flatten(1).amax(1)


def stripe_sparsity(codes: torch.Tensor, dictionary: Dictionary) -> torch.Tensor:
    """||codes||^S_{0,inf} (n,): the most nonzeros among atoms that overlap one position, itself included."""
    height, width = dictionary.reach
    return _most(_sums((codes != 0).double(), ((2 * height + 1, 2 * width + 1), 1), dictionary.reach)).round()


def patch_sparsity(codes: torch.Tensor, patch: Patch) -> torch.Tensor:
    """||codes||^P_{0,inf} (n,): the most nonzeros in a patch."""
    return _most(_sums((codes != 0).double(), patch)).round()


def energy(values: torch.Tensor, patch: Patch) -> torch.Tensor:
    """||values||^P_{2,inf} (n,): the largest Euclidean length of a patch."""
    return _most(_sums(values.square(), patch)).sqrt()


def shrunk(values: torch.Tensor, patch: Patch, limit: torch.Tensor | float) -> torch.Tensor:
    """Values (n, C, H, W) of local energy at most `limit`, one for all or (n,).

    Each number is divided by the most that a patch with it exceeds the limit: no Euclidean projection, but one pass.
    """
    sides, stride = patch
    most = torch.as_tensor(limit, dtype=values.dtype, device=values.device).view(-1, 1, 1, 1)
    length = _sums(values.square(), patch).sqrt()
    factor = most / length.maximum(most).clamp_min(torch.finfo(values.dtype).tiny)
    # the least factor of the patches over each number: a patch that the sum does not reach counts as 1
    over = torch.ones((len(values), 1, *values.shape[2:]), dtype=values.dtype, device=values.device)
    for down in range(sides[0]):
        for right in range(sides[1]):
            view = over[:, :, down::stride, right::stride][:, :, : factor.shape[2], : factor.shape[3]]
            view.copy_(view.minimum(factor.expand_as(view)))
    return values * over
