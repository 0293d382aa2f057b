"""How many images a GPU looks at together: grown until throughput stops, or memory does; then remembered.

On a CPU this depends on the image alone: what fits into its caches is known, and bits depend on the batch size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.guards.cache import alone, recalled, remember
from robustbench_lite.guards.foreign import undisturbed
from robustbench_lite.guards.memory import give_back, is_out_of_memory
from robustbench_lite.guards.transfer import done
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Classifier
from robustbench_lite.registry import fingerprint
from robustbench_lite.results import provenance

if TYPE_CHECKING:
    from torch import nn

__all__ = ["grown", "measured", "window"]

_KIND = "windows"
_LEAST, _MOST = 16, 8192
_PAYS = 1.05  # times the throughput, for a window twice as large
_PATIENCE = 2  # doublings that need not pay: the library's algorithm for one size may be a slow one
_LAPS = 3  # after one to warm up
Pace = Callable[[int], float]


def window(classifier: Classifier, device: torch.device, shape: tuple[int, ...], pace: Pace | None = None) -> int:
    """Images of `shape` (C, H, W) that the classifier looks at together; from the cache where it is there.

    `pace`: images a second in a batch of so many; null: as measured on the device.
    """
    facts = [classifier.weights, classifier.code, classifier.draws, list(shape)]
    gpu = {name: fact for name, fact in provenance.machine(device).items() if name.startswith("gpu")}
    key = fingerprint([*facts, gpu, provenance.versions()], 32)
    with alone(_KIND):  # two that measure on one device at a time find half of it each
        size = (recalled(_KIND, key) or {}).get("size")
        if isinstance(size, int) and _LEAST <= size <= _MOST:
            return size
        with undisturbed():
            size = grown(pace or measured(classifier.module, device, shape))
        remember(_KIND, key, {"size": size})
    give_back()
    return size


def grown(pace: Pace) -> int:
    """The batch size, doubled until that has not paid a few times. Half of what fits, where memory ends it: attacks
    need some, too.
    """
    best, paid, size, fits = 0.0, _LEAST, _LEAST, _MOST
    while size <= min(_MOST, paid << _PATIENCE):
        try:
            now = pace(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits = max(_LEAST, size // 4)
            break
        if now >= _PAYS * best:
            best, paid = now, size
        size *= 2
    return min(paid, fits)


def measured(module: nn.Module, device: torch.device, shape: tuple[int, ...]) -> Pace:
    """Images a second through a forward and a backward pass on the device, in a batch of so many."""

    def pace(n: int) -> float:
        seconds = [_lap(module, torch.full((n, *shape), 0.5, device=device)) for _ in range(1 + _LAPS)]
        return n / min(seconds[1:])

    return pace


def _lap(module: nn.Module, x: torch.Tensor) -> float:
    """Seconds of a forward pass of the images, and a backward pass where there is one."""
    done(x.device)
    start = time.perf_counter()
    with torch.enable_grad():
        logits = logits_of(module, leaf := x.requires_grad_())
    if logits.requires_grad:
        torch.autograd.grad(logits.sum(), leaf, allow_unused=True)
    done(x.device)
    return time.perf_counter() - start
