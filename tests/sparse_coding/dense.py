"""Dictionaries as the matrices that they are, and the local sizes by loops: what the room is checked against."""

from __future__ import annotations

import torch

from robustbench_lite.sparse_coding import Dictionary


def matrix(dictionary: Dictionary, positions: tuple[int, int]) -> torch.Tensor:
    """D (numbers of the signal, atoms at all positions), a column for each atom, written where the atom stands."""
    m, channels, height, width = dictionary.atoms.shape
    sides = dictionary.sides(positions)
    columns = []
    for atom in dictionary.atoms:
        for a in range(positions[0]):
            for b in range(positions[1]):
                signal = torch.zeros(channels, *sides, dtype=dictionary.atoms.dtype)
                down, right = a * dictionary.stride, b * dictionary.stride
                signal[:, down : down + height, right : right + width] = atom
                columns.append(signal.flatten())
    assert len(columns) == m * positions[0] * positions[1]
    return torch.stack(columns, 1)


def overlaps(dictionary: Dictionary, positions: tuple[int, int]) -> torch.Tensor:
    """Whether the atoms at two positions share a place, whatever is in them (atoms at all positions, likewise)."""
    full = Dictionary(torch.ones_like(dictionary.atoms) / dictionary.atoms[0].numel() ** 0.5, dictionary.stride)
    covered = matrix(full, positions)
    return covered.T @ covered > 0


def patches(values: torch.Tensor, sides: tuple[int, int], stride: int) -> list[torch.Tensor]:
    """Every patch of one signal (C, H, W)."""
    downs, rights = (range(0, n - own + 1, stride) for n, own in zip(values.shape[1:], sides, strict=True))
    return [values[:, a : a + sides[0], b : b + sides[1]] for a in downs for b in rights]
