"""What is promised: uniqueness and stability of the representations, each with its condition and its bound.

After Papyan, Romano, Elad (https://arxiv.org/abs/1607.08194) and, for one layer, Papyan, Sulam, Elad
(https://arxiv.org/abs/1707.06066). docs/sparse_coding.md proves each one again, for atoms as ours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.model import Facts
from robustbench_lite.sparse_coding.thresholding import Kind

__all__ = [
    "Promise",
    "layered_basis_pursuit_promises",
    "stability",
    "thresholding_levels",
    "thresholding_promises",
    "unique",
]


@dataclass(frozen=True)
class Promise:
    """Of one layer, for each signal (n,), given noise of a known local energy."""

    holds: torch.Tensor  # whether the conditions of this layer and all before it are met
    bound: torch.Tensor  # of the layer's error ||.||^P_{2,inf}; infinite where nothing is promised
    support: torch.Tensor  # whether the support is promised exactly: nothing beside it, and all of it


def unique(facts: Sequence[Facts], coherence: Sequence[float]) -> torch.Tensor:
    """Whether no other representations of a signal (n,) are as sparse: stripe < (1 + 1/mu) / 2 in every layer."""
    met = [one.stripe < (1 + _inverse(mu)) / 2 for one, mu in zip(facts, coherence, strict=True)]
    return torch.stack(met).all(0)


def stability(facts: Sequence[Facts], coherence: Sequence[float], noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Bounds of ||G_i - G'_i||_2 (n,) for any G' as sparse that fits as well: each layer within the one before's bound.

    noise (n,) is ||E||_2; epsilon_i^2 = 4 epsilon_{i-1}^2 / (1 - (2 stripe_i - 1) mu_i). Infinite where not unique.
    """
    bounds, size = [], noise
    for one, mu in zip(facts, coherence, strict=True):
        rest = 1 - (2 * one.stripe - 1) * mu
        size = torch.where(rest > 0, 2 * size / rest.clamp_min(1e-300).sqrt(), torch.inf)
        bounds.append(size)
    return tuple(bounds)


def thresholding_promises(
    facts: Sequence[Facts], coherence: Sequence[float], noise: torch.Tensor, levels: Sequence[float], kind: Kind
) -> tuple[Promise, ...]:
    """Layered thresholding with these thresholds, noise (n,) of local energy ||E||^P_{2,inf}.

    A level between what reaches an atom outside the support and what is left of one inside finds the support; there is
    one if stripe < (1 + min/(mu max)) / 2 - epsilon/(mu max). Then
    epsilon_i = sqrt(patch_i) (epsilon_{i-1} + mu_i (stripe_i - 1) max_i [+ level_i, unless hard]).
    """
    found, holds, size = [], torch.ones_like(noise, dtype=torch.bool), noise
    for one, mu, level in zip(facts, coherence, levels, strict=True):
        low, high = _interval(one, mu, size)
        holds = holds & (low < level) & (level < high)
        bias = 0.0 if kind == "hard" else level
        size = one.patch.sqrt() * (size + mu * (one.stripe - 1) * one.largest + bias)
        size = torch.where(holds, size, torch.inf)
        found.append(Promise(holds, size, holds))
    return tuple(found)


def _interval(one: Facts, mu: float, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The most that reaches an atom outside the support, and the least that is left of one inside."""
    outside = mu * one.stripe * one.largest + noise
    return outside, one.smallest - mu * (one.stripe - 1) * one.largest - noise


def thresholding_levels(
    facts: Sequence[Facts], coherence: Sequence[float], noise: torch.Tensor, kind: Kind, place: float = 0.5
) -> tuple[float, ...]:
    """Thresholds for which the promise holds for all of these signals; `place` within the interval that is left.

    Raises ValueError where a layer leaves none: more noise, or more in a stripe, than the theorem bears.
    """
    levels: list[float] = []
    size = noise
    for i, (one, mu) in enumerate(zip(facts, coherence, strict=True), 1):
        least, most = (part(edge) for part, edge in zip((torch.max, torch.min), _interval(one, mu, size), strict=True))
        low, high = float(least), float(most)
        if low >= high:
            raise ValueError(f"layer {i}: expected a threshold above {low:.4g} and below {high:.4g}: there is none")
        levels.append(low + place * (high - low))
        size = thresholding_promises(facts[:i], coherence[:i], noise, levels, kind)[-1].bound
    return tuple(levels)


def layered_basis_pursuit_promises(
    facts: Sequence[Facts], coherence: Sequence[float], noise: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], tuple[Promise, ...]]:
    """The penalties (n,) of each layer, 4 times the error before it, and what is promised of their solutions.

    If stripe < (1 + 1/mu) / 3 the support holds nothing that is not true, no value is off by more than 7.5 epsilon
    (so those above it are found), and epsilon_i = 7.5 sqrt(patch_i) epsilon_{i-1}.
    """
    penalties, found, holds, size = [], [], torch.ones_like(noise, dtype=torch.bool), noise
    for one, mu in zip(facts, coherence, strict=True):
        holds = holds & (one.stripe < (1 + _inverse(mu)) / 3)
        penalties.append(4 * size)
        support = holds & (one.smallest > 7.5 * size)
        size = 7.5 * one.patch.sqrt() * size
        found.append(Promise(holds, torch.where(holds, size, torch.inf), support))
    return tuple(penalties), tuple(found)


def _inverse(mu: float) -> float:
    return 1 / mu if mu > 0 else float("inf")
