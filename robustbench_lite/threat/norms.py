"""What an attacker may do: balls in l0, l1, l2 and linf.

l0 counts the numbers that change, each channel of a pixel by itself, as papers and other libraries do. All functions
take perturbations (n, ...) and work per row; the other sizes are in the units of the image, [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from robustbench_lite.lazy import torch
from robustbench_lite.threat.rows import per_row

if TYPE_CHECKING:
    from robustbench_lite.threat.draws import Draw

__all__ = ["Ball", "Norm", "dual_size", "project", "rescaled", "sample", "size", "steepest"]

Ball = Literal["linf", "l2", "l1"]  # those in which a step can have any length
Norm = Ball | Literal["l0"]

_ORDER: dict[str, float] = {"l0": 0.0, "l1": 1.0, "l2": 2.0, "linf": float("inf")}
_DUAL: dict[str, float] = {"l0": float("inf"), "l1": float("inf"), "l2": 2.0, "linf": 1.0}


def size(r: torch.Tensor, norm: Norm) -> torch.Tensor:
    """||r|| of every row (n,)."""
    length: torch.Tensor = torch.linalg.vector_norm(r.flatten(1), ord=_ORDER[norm], dim=1)
    return length


def dual_size(g: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The dual norm of every row (n,): how fast a linear function with gradient g grows per unit of `norm`.

    l0: per number, none of which moves by more than 1 within the box.
    """
    length: torch.Tensor = torch.linalg.vector_norm(g.flatten(1), ord=_DUAL[norm], dim=1)
    return length


def project(r: torch.Tensor, norm: Norm, epsilon: float | torch.Tensor) -> torch.Tensor:
    """The nearest point (Euclidean) of the ball of radius epsilon, one for all or (n,), to every row of r."""
    if norm == "linf":
        limit = torch.as_tensor(epsilon, dtype=r.dtype, device=r.device).view(-1, *[1] * (r.ndim - 1))
        return r.minimum(limit).maximum(-limit)
    if norm == "l2":
        length = size(r, "l2")
        return r * per_row((epsilon / length.clamp_min(1e-30)).clamp_max(1.0), r)
    most = torch.as_tensor(epsilon, dtype=r.dtype, device=r.device).view(-1, 1)
    return _project_l1(r, most) if norm == "l1" else _project_l0(r, most)


def _project_l0(r: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """The largest numbers alone, as many as epsilon (n, 1) allows."""
    flat = r.flatten(1)
    rank = flat.abs().argsort(dim=1, descending=True).argsort(dim=1)
    return flat.masked_fill(rank >= epsilon, 0).view_as(r)


def _project_l1(r: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Soft thresholding at the level that makes the l1 norm epsilon (Duchi et al. 2008, sort-based)."""
    flat = r.flatten(1).abs()
    ordered = flat.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - epsilon
    count = torch.arange(1, flat.shape[1] + 1, device=r.device)
    active = (ordered * count > excess).sum(1, keepdim=True).clamp_min(1)
    level = (excess.gather(1, active - 1) / active).clamp_min(0)
    return (r.flatten(1).sign() * (flat - level).clamp_min(0)).view_as(r)


def steepest(g: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The direction of unit size in `norm` along which a function with gradient g grows fastest; 0 where g is 0."""
    if norm == "linf":
        return g.sign()
    if norm == "l2":
        largest = size(g, "linf").clamp_min(torch.finfo(g.dtype).tiny)  # squares of tiny gradients would underflow
        scaled = g / per_row(largest, g)
        return scaled / per_row(size(scaled, "l2").clamp_min(torch.finfo(g.dtype).tiny), g)
    flat = g.flatten(1)
    index = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, index, flat.gather(1, index).sign()).view_as(g)


def sample(draw: Draw, like: torch.Tensor, norm: Ball, epsilon: float, step: torch.Tensor | int = 0) -> torch.Tensor:
    """A point uniform in the ball of radius epsilon, for every row of `like`."""
    shape = tuple(like.shape[1:])
    if norm == "linf":
        return (2 * draw.uniform("ball", shape, step) - 1) * epsilon
    dimension = like[0].numel()
    radius = draw.uniform("radius", (1,), step).flatten() ** (1 / dimension) * epsilon
    direction = draw.normal("ball", shape, step) if norm == "l2" else draw.laplace("ball", shape, step)
    return direction * per_row(radius / size(direction, norm), like)


def rescaled(epsilon: float, norm: Norm, pixels: int, to: int) -> float:
    """A budget for images of `pixels` numbers (3 * 224 * 224) as one for images of `to`: the same per number.

    l2 grows with the square root of how many there are, l0 and l1 with how many, linf not at all.
    """
    power: dict[str, float] = {"linf": 0.0, "l2": 0.5, "l1": 1.0, "l0": 1.0}
    return float(epsilon * (to / pixels) ** power[norm])
