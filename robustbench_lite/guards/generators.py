"""Random generators of Python, numpy and PyTorch: started at a number, and afterwards where they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from robustbench_lite.guards.foreign import generators
from robustbench_lite.lazy import torch

__all__ = ["seeded"]


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Every generator starts at `number` inside."""
    states = [(put, get()) for get, put in generators()]
    try:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002  (other people's code draws from it)
        torch.manual_seed(number)
        yield
    finally:
        for put, state in states:
            put(state)
