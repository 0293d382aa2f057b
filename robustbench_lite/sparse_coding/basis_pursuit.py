"""Layered basis pursuit: the lasso of each layer in turn, by FISTA (Beck, Teboulle 2009) with restarts.

https://arxiv.org/abs/1607.08194, algorithm 2: G_i = argmin 1/2 ||G_{i-1} - D_i G||^2 + penalty_i ||G||_1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.dictionary import Dictionary
from robustbench_lite.sparse_coding.model import Layers
from robustbench_lite.threat import per_row

__all__ = ["Penalty", "basis_pursuit", "layered_basis_pursuit", "optimality_gap"]

Penalty = Union[float, "torch.Tensor"]  # one for all signals, or (n,)


def basis_pursuit(
    dictionary: Dictionary, y: torch.Tensor, penalty: Penalty, iterations: int, nonnegative: bool = False
) -> torch.Tensor:
    """The lasso's solution (n, m, a, b) for signals y (n, C, H, W), after so many steps of FISTA.

    A signal's momentum begins anew where it leads uphill (O'Donoghue and Candes 2015, the gradient scheme). Gradients
    with respect to y go through all steps.
    """
    step = 1 / dictionary.curvature
    code = torch.zeros_like(dictionary.correlate(y))
    ahead, momentum = code, code.new_ones(len(y))
    limit = step * per_row(torch.as_tensor(penalty, dtype=y.dtype, device=y.device).expand(len(y)), code)
    for _ in range(iterations):
        moved = ahead + step * dictionary.correlate(y - dictionary.synthesise(ahead))
        following = _shrunk(moved, limit, nonnegative)
        uphill = ((ahead - following) * (following - code)).flatten(1).sum(1) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        longer = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        pace = torch.where(uphill, 0.0, (momentum - 1) / longer)
        code, ahead, momentum = following, following + per_row(pace, code) * (following - code), longer
    return code


def _shrunk(values: torch.Tensor, limit: torch.Tensor, nonnegative: bool) -> torch.Tensor:
    if nonnegative:
        return (values - limit).relu()
    return values.sign() * (values.abs() - limit).relu()


def layered_basis_pursuit(
    layers: Layers, y: torch.Tensor, penalties: Sequence[Penalty], iterations: int, nonnegative: bool = False
) -> tuple[torch.Tensor, ...]:
    """The representations of signals y (n, C, H, W), from the first layer on."""
    codes = [y]
    for dictionary, penalty in zip(layers.dictionaries, penalties, strict=True):
        codes.append(basis_pursuit(dictionary, codes[-1], penalty, iterations, nonnegative))
    return tuple(codes[1:])


def optimality_gap(
    dictionary: Dictionary, y: torch.Tensor, codes: torch.Tensor, penalty: Penalty, nonnegative: bool = False
) -> torch.Tensor:
    """How far the conditions of Karush, Kuhn and Tucker are broken, in units of the penalty (n,); 0: optimal."""
    slope = dictionary.correlate(y - dictionary.synthesise(codes))
    limit = per_row(torch.as_tensor(penalty, dtype=y.dtype, device=y.device).expand(len(y)), slope)
    excess = slope - limit if nonnegative else slope.abs() - limit
    broken = torch.where(codes == 0, excess.relu(), (slope - limit * codes.sign()).abs())
    return (broken / limit).flatten(1).amax(1)
