"""Dictionaries with the little coherence that the theorems ask for: orthogonal, overlapping, and with sparse atoms.

Each is a function, and a record by whose name and parameters a suite has it; another is a file of this room with its
own record.
"""

from __future__ import annotations

import math
from abc import abstractmethod

from pydantic import Field, NonNegativeInt, PositiveInt

from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Records
from robustbench_lite.sparse_coding.dictionary import Dictionary, normalised

__all__ = ["Design", "designs", "incoherent", "orthogonal", "sparse"]

_STEPS = 600
_NONZEROS = 4  # of a sparse atom, each in a channel of its own


class Design(Config):
    """A dictionary by its parameters, for signals of so many channels."""

    @property
    @abstractmethod
    def atoms(self) -> int:
        """How many there are: the channels of the next layer's."""

    @abstractmethod
    def build(self, channels: int) -> Dictionary:
        """The dictionary. Raises ValueError where there is none."""

    def unfit(self, channels: int) -> str:  # noqa: ARG002
        """Why there is none for signals of so many channels, in a sentence; empty: there may be one."""
        return ""


designs: Records[Design] = Records("dictionary", "robustbench_lite.sparse_coding")


@designs.register("orthogonal")
class Orthogonal(Design):
    """All products of cosines on blocks side by side: an orthonormal basis of signals of one channel, mu = 0."""

    side: PositiveInt = Field(description="Height and width of an atom, and the stride; there are side^2 atoms.")

    @property
    def atoms(self) -> int:
        return self.side**2

    def build(self, channels: int) -> Dictionary:  # noqa: ARG002
        return orthogonal(self.side)

    def unfit(self, channels: int) -> str:
        return "" if channels == 1 else f"orthogonal: expected signals of 1 channel, got {channels}: it comes first"


@designs.register("incoherent")
class Incoherent(Design):
    """Overlapping atoms that descent made incoherent."""

    count: PositiveInt = Field(description="Atoms.")
    side: PositiveInt = Field(description="Height and width of an atom.")
    stride: PositiveInt = Field(1, description="Steps from one atom to the next.")
    seed: NonNegativeInt = Field(0, description="Of the atoms from which descent starts.")

    @property
    def atoms(self) -> int:
        return self.count

    def build(self, channels: int) -> Dictionary:
        return incoherent(self.count, self.side, self.stride, self.seed, channels)


@designs.register("sparse")
class Sparse(Design):
    """Atoms of four equal nonzeros that meet any other atom in one place at most: mu = 1/4."""

    count: PositiveInt = Field(description="Atoms.")
    side: PositiveInt = Field(description="Height and width of an atom.")
    stride: PositiveInt = Field(1, description="Steps from one atom to the next.")
    corner: PositiveInt = Field(1, description="Side of the regions in the corners, in each of which is a nonzero.")
    seed: NonNegativeInt = Field(0, description="Of the places.")

    @property
    def atoms(self) -> int:
        return self.count

    def build(self, channels: int) -> Dictionary:
        return sparse(self.count, channels, self.side, self.stride, self.corner, self.seed)

    def unfit(self, channels: int) -> str:
        if channels < _NONZEROS:
            return f"sparse: expected {_NONZEROS} channels or more, a nonzero in each, got {channels}"
        if self.corner > self.side:
            return f"sparse: expected a corner of at most {self.side}, the side of an atom, got {self.corner}"
        return ""


def orthogonal(side: int) -> Dictionary:
    """The side^2 products of cosines (DCT-II) on blocks that do not overlap: an orthonormal basis, mu = 0."""
    n = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(math.pi / side * (n + 0.5) * n[:, None]) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    atoms = torch.einsum("ai,bj->abij", waves, waves).reshape(side**2, 1, side, side)
    return Dictionary(atoms, stride=side)


def incoherent(count: int, side: int, stride: int, seed: int = 0, channels: int = 1) -> Dictionary:
    """`count` overlapping atoms: Gaussian at first, then descent on a p-norm of all inner products, p growing."""
    source = torch.Generator().manual_seed(seed)
    free = torch.randn(count, channels, side, side, generator=source, dtype=torch.float64)
    with torch.enable_grad():
        free.requires_grad_()
        optimiser = torch.optim.Adam([free], lr=0.02)
        for step in range(_STEPS):
            optimiser.zero_grad()
            products = _norm_of_products(Dictionary(normalised(free), stride), 8 + 40 * step / _STEPS)
            torch.autograd.backward(products)
            optimiser.step()
    return Dictionary(normalised(free.detach()), stride)


def _norm_of_products(dictionary: Dictionary, power: float) -> torch.Tensor:
    """A smooth stand-in for the coherence: the p-norm of the gram without its diagonal."""
    gram, (down, right) = dictionary.gram, dictionary.reach
    own = torch.zeros_like(gram[0, 0])
    own[down, right] = 1
    others = gram - torch.eye(len(gram), dtype=gram.dtype)[:, :, None, None] * own
    return others.abs().pow(power).sum().pow(1 / power)


def sparse(
    count: int, channels: int, side: int, stride: int, corner: int = 1, seed: int = 0, signed: bool = False
) -> Dictionary:
    """`count` atoms of four equal nonzeros, one in each corner region of this side, each in a channel of its own.

    Two atoms at any shift have at most one place in common, so mu <= 1/4. Raises ValueError where none fits any more.
    """
    source = torch.Generator().manual_seed(seed)
    atoms: list[torch.Tensor] = []
    for _ in range(200 * count):
        atom = _four(channels, side, corner, source, signed)
        both = Dictionary(torch.stack([*atoms, atom]), stride)
        if both.coherence < 0.26:
            atoms.append(atom)
        if len(atoms) == count:
            return both
    raise ValueError(f"sparse: expected {count} atoms of {channels} x {side} x {side}, found room for {len(atoms)}")


def _four(channels: int, side: int, corner: int, source: torch.Generator, signed: bool) -> torch.Tensor:
    atom = torch.zeros(channels, side, side, dtype=torch.float64)
    chosen = torch.randperm(channels, generator=source)[:_NONZEROS].tolist()
    for channel, (below, beside) in zip(chosen, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        down, right = torch.randint(corner, (2,), generator=source).tolist()
        sign = -1 if signed and bool(torch.rand(1, generator=source) < 0.5) else 1
        atom[channel, down + below * (side - corner), right + beside * (side - corner)] = sign / 2
    return atom
