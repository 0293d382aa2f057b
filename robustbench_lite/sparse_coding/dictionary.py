"""A convolutional dictionary: local atoms at every position. D synthesises as a decoder does, D^T is a convolution.

https://arxiv.org/abs/1607.08194 (Papyan, Romano, Elad), of any stride; atoms lie within the signal: no wrap-around.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from robustbench_lite.lazy import torch

__all__ = ["Dictionary", "normalised"]

_GRID = 64  # frequencies along each axis at which the spectrum is looked at


def normalised(atoms: torch.Tensor) -> torch.Tensor:
    """Atoms (m, C, h, w), each of unit length."""
    length: torch.Tensor = torch.linalg.vector_norm(atoms, dim=(1, 2, 3), keepdim=True)
    return atoms / length


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Atoms (m, C, h, w) of unit length, one every `stride` numbers along both axes."""

    atoms: torch.Tensor
    stride: int = 1

    def __post_init__(self) -> None:
        length = torch.linalg.vector_norm(self.atoms, dim=(1, 2, 3))
        if not bool(((length - 1).abs() < 1e-5).all()):
            worst = float(length[(length - 1).abs().argmax()])
            raise ValueError(f"dictionary: expected atoms of length 1, got one of {worst:.6g}; see normalised()")

    def synthesise(self, codes: torch.Tensor) -> torch.Tensor:
        """D times codes (n, m, a, b): signals (n, C, H, W)."""
        return torch.nn.functional.conv_transpose2d(codes, self.atoms, stride=self.stride)

    def correlate(self, signals: torch.Tensor) -> torch.Tensor:
        """D^T times signals (n, C, H, W): the inner product with every atom (n, m, a, b)."""
        return torch.nn.functional.conv2d(signals, self.atoms, stride=self.stride)

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of an atom."""
        return self.atoms.shape[2], self.atoms.shape[3]

    @property
    def reach(self) -> tuple[int, int]:
        """How many positions away an atom may stand and still overlap."""
        height, width = ((side - 1) // self.stride for side in self.extent)
        return height, width

    def positions(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Where an atom can stand in a signal of these sides. Raises ValueError where atoms do not cover it."""
        for side, own in zip(sides, self.extent, strict=True):
            if side < own or (side - own) % self.stride:
                raise ValueError(f"dictionary: expected a side of {own} + a multiple of {self.stride}, got {side}")
        height, width = ((side - own) // self.stride + 1 for side, own in zip(sides, self.extent, strict=True))
        return height, width

    def sides(self, positions: tuple[int, int]) -> tuple[int, int]:
        """Of the signal in which an atom can stand at so many positions."""
        height, width = ((n - 1) * self.stride + own for n, own in zip(positions, self.extent, strict=True))
        return height, width

    @cached_property
    def gram(self) -> torch.Tensor:
        """Inner products of atoms p and q at every shift where they can overlap (m, m, 2 reach + 1, 2 reach + 1)."""
        down, right = (steps * self.stride for steps in self.reach)
        return torch.nn.functional.conv2d(self.atoms, self.atoms, stride=self.stride, padding=(down, right))

    @cached_property
    def coherence(self) -> float:
        """mu(D): the largest |inner product| of two different atoms, or of one with itself elsewhere."""
        products, (down, right) = self.gram.abs().clone(), self.reach
        products[:, :, down, right].fill_diagonal_(0)
        return float(products.max())

    @cached_property
    def curvature(self) -> float:
        """An upper bound of the largest eigenvalue of D^T D, for signals of any size.

        That of the symbol on a grid; a trigonometric polynomial of degree d is nowhere larger than the largest of N
        samples over cos(pi d / N), along each axis.
        """
        spectrum = torch.fft.fft2(self.gram.to(torch.float64), s=(_GRID, _GRID)).permute(2, 3, 0, 1)
        down, right = (self._phase(steps) for steps in self.reach)  # the shift 0 stands in the middle of the gram
        hermitian = spectrum * (down[:, None] * right)[:, :, None, None]
        between = math.prod(math.cos(math.pi * steps / _GRID) for steps in self.reach)
        return float(torch.linalg.eigvalsh(hermitian).max()) / between

    def _phase(self, steps: int) -> torch.Tensor:
        angle = 2 * math.pi * steps * torch.arange(_GRID, dtype=torch.float64) / _GRID
        return torch.polar(torch.ones_like(angle), angle)
