"""Dictionaries with the little coherence that the theorems ask for: orthogonal, overlapping, and with sparse atoms."""

from __future__ import annotations

import math

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.dictionary import Dictionary, normalised

__all__ = ["incoherent", "orthogonal", "sparse"]

_STEPS = 600


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
    chosen = torch.randperm(channels, generator=source)[:4].tolist()
    for channel, (below, beside) in zip(chosen, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        down, right = torch.randint(corner, (2,), generator=source).tolist()
        sign = -1 if signed and bool(torch.rand(1, generator=source) < 0.5) else 1
        atom[channel, down + below * (side - corner), right + beside * (side - corner)] = sign / 2
    return atom
