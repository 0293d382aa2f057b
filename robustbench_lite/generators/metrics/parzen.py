"""Parzen-window log-likelihood, as in https://arxiv.org/abs/1406.2661 (section 5). High variance, and no likelihood.

Compare only estimates from the same number of generated images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_lite.lazy import torch

__all__ = ["Parzen", "log_densities", "parzen"]


@dataclass(frozen=True)
class Parzen:
    """Mean log-likelihood of test images in nats, its standard error over them, the bandwidth, generated images."""

    mean: float
    standard_error: float
    sigma: float
    n: int


def log_densities(generated: torch.Tensor, data: torch.Tensor, sigma: float, rows: int = 256) -> torch.Tensor:
    """Log p (m,) of images (m, ...), p the mean of Gaussians of deviation `sigma` around generated images (n, ...)."""
    centres = generated.flatten(1).double()
    constant = math.log(len(centres)) + centres.shape[1] / 2 * math.log(2 * math.pi * sigma**2)
    parts = (
        torch.logsumexp(-torch.cdist(part, centres).square() / (2 * sigma**2), 1)
        for part in torch.split(data.flatten(1).double(), rows)
    )
    return torch.cat(list(parts)) - constant


def parzen(
    generated: torch.Tensor, validation: torch.Tensor, test: torch.Tensor, sigmas: Sequence[float] | None = None
) -> Parzen:
    """The estimate on `test`, with that of `sigmas` under which `validation` is likeliest."""
    tried = sigmas or [10 ** (-1 + i / 10) for i in range(11)]  # 0.1 to 1
    sigma = max(tried, key=lambda one: float(log_densities(generated, validation, one).mean()))
    found = log_densities(generated, test, sigma)
    return Parzen(float(found.mean()), float(found.std()) / math.sqrt(len(found)), sigma, len(generated))
