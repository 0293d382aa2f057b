"""Noise of a given local energy ||E||^P_{2,inf}: random, and the worst that ascent through the pursuit finds."""

from __future__ import annotations

from collections.abc import Callable

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.local import Patch, energy, shrunk
from robustbench_lite.threat import Draw, per_row

__all__ = ["adversarial_noise", "random_noise"]

Errors = Callable[["torch.Tensor"], "torch.Tensor"]  # of noise (n, C, H, W): the error that it causes (n,)


def random_noise(like: torch.Tensor, patch: Patch, limit: float, draw: Draw) -> torch.Tensor:
    """Gaussian noise (n, C, H, W) whose worst patch has the length `limit`."""
    noise = draw.normal("noise", tuple(like.shape[1:])).to(like)
    return noise * per_row(limit / energy(noise, patch), noise)


def adversarial_noise(start: torch.Tensor, errors: Errors, patch: Patch, limit: float, steps: int) -> torch.Tensor:
    """The noise (n, C, H, W) of the largest error among `start` and so many steps of projected gradient ascent.

    As PGD of Madry et al. (2018): a step of 2.5 limit / steps along the gradient, back into the ball after each; sizes
    are local energies here.
    """
    noise, best, worst = start, start, torch.full((len(start),), -1.0, dtype=start.dtype, device=start.device)
    for _ in range(steps + 1):
        error, gradient = _differentiated(errors, noise)
        better = error > worst
        best = torch.where(per_row(better, noise), noise, best)
        worst = torch.where(better, error, worst)
        tiny = torch.finfo(noise.dtype).tiny
        ascent = gradient / per_row(energy(gradient, patch).clamp_min(tiny), noise)
        noise = shrunk(noise + 2.5 * limit / max(1, steps) * ascent, patch, limit)
    return best


def _differentiated(errors: Errors, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        leaf = noise.detach().requires_grad_()
        error = errors(leaf)
        (gradient,) = torch.autograd.grad(error.sum(), leaf)
    return error.detach(), torch.nan_to_num(gradient)  # the root of no error at all has no slope
