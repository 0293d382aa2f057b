"""A pursuit that is set for signals and noise as its theorem asks, with what is promised of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.basis_pursuit import layered_basis_pursuit
from robustbench_lite.sparse_coding.model import Facts, Layers, Signals
from robustbench_lite.sparse_coding.theorems import (
    Promise,
    layered_basis_pursuit_promises,
    thresholding_levels,
    thresholding_promises,
)
from robustbench_lite.sparse_coding.thresholding import layered_thresholding

__all__ = ["PURSUITS", "Pursuit", "PursuitName"]

PursuitName = Literal["hard", "soft", "relu", "basis_pursuit"]
PURSUITS: tuple[PursuitName, ...] = get_args(PursuitName)


@dataclass(frozen=True)
class Pursuit:
    """Of these signals, set for noise of local energy `noise`: like a network, it stays so whatever noise comes."""

    name: PursuitName
    layers: Layers
    facts: tuple[Facts, ...]
    noise: float
    settings: tuple[float, ...] | tuple[torch.Tensor, ...]  # thresholds, or penalties (n,)
    nonnegative: bool
    iterations: int = 30

    @classmethod
    def set_for(
        cls, name: PursuitName, layers: Layers, signals: Signals, noise: float, iterations: int = 30
    ) -> Pursuit:
        """Thresholds (a tenth into the interval that is left) or penalties for these signals. Raises ValueError."""
        facts, size = layers.facts(signals.codes), torch.full_like(signals.x[:, 0, 0, 0], noise)
        positive = all(bool((code >= 0).all()) for code in signals.codes)
        if name == "relu" and not positive:
            raise ValueError("relu: expected representations without negative numbers, got some; take soft or hard")
        settings: tuple[float, ...] | tuple[torch.Tensor, ...]
        if name == "basis_pursuit":
            settings = layered_basis_pursuit_promises(facts, layers.coherence, size)[0]
        else:
            settings = thresholding_levels(facts, layers.coherence, size, name, 0.1)
        return cls(name, layers, facts, noise, settings, positive, iterations)

    def solve(self, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The representations of signals y (n, C, H, W), rows as they were set for."""
        if self.name == "basis_pursuit":
            return layered_basis_pursuit(self.layers, y, self.settings, self.iterations, self.nonnegative)
        return layered_thresholding(self.layers, y, self.settings, self.name)

    def promises(self, noise: float) -> tuple[Promise, ...]:
        """Under noise of this local energy."""
        size = torch.full_like(self.facts[0].stripe, noise)
        if self.name != "basis_pursuit":
            levels = [float(level) for level in self.settings]
            return thresholding_promises(self.facts, self.layers.coherence, size, levels, self.name)
        if noise <= self.noise:
            size = torch.full_like(size, self.noise)
            return layered_basis_pursuit_promises(self.facts, self.layers.coherence, size)[1]
        nothing = torch.zeros_like(size, dtype=torch.bool)
        return tuple(Promise(nothing, torch.full_like(size, torch.inf), nothing) for _ in self.facts)
