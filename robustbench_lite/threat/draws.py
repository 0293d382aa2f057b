"""Per-sample randomness: every draw depends on (seed, attack, sample, purpose, step), never on the batch around it.

A counter-based generator: splitmix64 (Steele, Lea, Flood 2014) on int64 tensors, the same bits on every device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_lite.lazy import torch

__all__ = ["Draw", "keys"]

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX2 = 0x94D049BB133111EB - (1 << 64)


def keys(seed: int, attack: str, samples: Sequence[str]) -> torch.Tensor:
    """One int64 key per sample id (n,), from the suite's seed and the attack's fingerprint."""
    return torch.tensor([_hash(f"{seed}|{attack}|{sample}") for sample in samples], dtype=torch.int64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift; torch's own is arithmetic on int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * _MIX1
    x = (x ^ _shift(x, 27)) * _MIX2
    return x ^ _shift(x, 31)


@dataclass
class Draw:
    """Random numbers for the samples with these keys (n,) int64."""

    key: torch.Tensor

    def fork(self, purpose: str) -> Draw:
        """Numbers for everything within one purpose: streams of their own, the same for the same name."""
        return Draw(_mix(self.key ^ _hash(purpose)))

    def bits(self, purpose: str, shape: Sequence[int], step: torch.Tensor | int = 0) -> torch.Tensor:
        """Random int64 (n, *shape); `step` (n,) or a number tells repeated draws for one purpose apart."""
        steps = torch.as_tensor(step, device=self.key.device)
        stream = _mix(_mix(self.key ^ _hash(purpose)) + steps * _GOLDEN)
        counter = torch.arange(1, math.prod(shape) + 1, device=self.key.device, dtype=torch.int64)
        return _mix(stream[:, None] + counter * _GOLDEN).view(-1, *shape)

    def uniform(self, purpose: str, shape: Sequence[int], step: torch.Tensor | int = 0) -> torch.Tensor:
        """Uniform float32 in (0, 1), (n, *shape): the centres of 2^23 equal bins, so neither 0 nor 1 occurs."""
        return (_shift(self.bits(purpose, shape, step), 41).to(torch.float32) + 0.5) * 2.0**-23

    def normal(self, purpose: str, shape: Sequence[int], step: torch.Tensor | int = 0) -> torch.Tensor:
        """Standard normal float32 (n, *shape), by the inverse distribution function."""
        normal: torch.Tensor = torch.special.ndtri(self.uniform(purpose, shape, step))
        return normal

    def laplace(self, purpose: str, shape: Sequence[int], step: torch.Tensor | int = 0) -> torch.Tensor:
        """Standard Laplace float32 (n, *shape)."""
        centred = self.uniform(purpose, shape, step) - 0.5
        return -centred.sign() * torch.log1p(-2 * centred.abs().clamp_max(0.5 - 2.0**-25))

    def integer(self, purpose: str, below: int, step: torch.Tensor | int = 0) -> torch.Tensor:
        """Uniform int64 in 0..below-1, (n,)."""
        return _shift(self.bits(purpose, (1,), step), 1).flatten() % below
