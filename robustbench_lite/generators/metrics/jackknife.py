"""How sure a score of many images is: the jackknife that leaves out a group at a time (Quenouille 1956).

Scores of distributions are no means of numbers that images have, and a bootstrap, which repeats images, is biased where
images are compared with each other: a repeated image is its own neighbour. Without a twentieth of the images every
score is what it is. Where it is a mean this is the standard error that everybody knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from robustbench_lite.lazy import torch
from robustbench_lite.results.statistics import wilson

__all__ = ["FEWEST", "GROUPS", "ends", "group_of", "groups", "jackknifed", "share_ends", "standard_error"]

GROUPS = 20
FEWEST = 5 * GROUPS  # images: below, nothing is said of how sure a score is
_T = 2.0930  # 97.5 % quantile of Student's t with GROUPS - 1 degrees of freedom
T = TypeVar("T")


def groups(n: int) -> int:
    """Groups that so many images are left out in; none where there are too few of them."""
    return GROUPS if n >= FEWEST else 0


def group_of(n: int) -> torch.Tensor:
    """The group (n,) of each image: images come in no order, so every 20th will do."""
    return torch.arange(n) % GROUPS


def jackknifed(statistic: Callable[..., T], *samples: torch.Tensor) -> list[T]:
    """A statistic of samples (n, ...), (m, ...): of all, then without group 0 of each, without group 1 and so on."""
    marks = [group_of(len(sample)) for sample in samples]
    without = range(min(groups(len(sample)) for sample in samples))
    left = ([sample[mark != g] for sample, mark in zip(samples, marks, strict=True)] for g in without)
    return [statistic(*samples), *(statistic(*parts) for parts in left)]


def standard_error(without: Sequence[float]) -> float:
    """Of a statistic, by its values without each of G groups; NaN where there are none."""
    if not without:
        return math.nan
    values = torch.tensor(without, dtype=torch.float64)
    return float(((values - values.mean()).square().sum() * (len(values) - 1) / len(values)).sqrt())


def ends(values: Sequence[float], lowest: float = 0.0, highest: float = math.inf) -> tuple[float, float]:
    """The 95 % interval of a statistic of which `jackknifed` made these values, within what it can be."""
    half = _T * standard_error(values[1:])
    return max(values[0] - half, lowest), min(values[0] + half, highest)  # NaN stays NaN in this order


def share_ends(values: Sequence[float], n: int) -> tuple[float, float]:
    """The same of a share of n images: Wilson's interval of as many as are worth these (Korn and Graubard 1998)."""
    share, error = values[0], standard_error(values[1:])
    worth = min(float(n), share * (1 - share) / error**2) if error > 0 and 0 < share < 1 else float(n)
    found = wilson(share * max(1, round(worth)), max(1, round(worth)))
    return found.low, found.high
