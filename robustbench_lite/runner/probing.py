"""Is a classifier still what it was? Its parameters and buffers, and where its code is the user's, what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.guards.foreign import is_interrupt, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.models.finish import content_hash

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Probe", "answers", "close", "state_of"]

_LOGITS = 16  # of each image
_ROUNDING = 1e-3  # of the spread of the logits; where a device rounds more coarsely, cells run again

Probe = tuple[tuple[float, ...], ...]


def state_of(module: nn.Module) -> str:
    """What must be the same after a cell as before: parameters, buffers, and which parts are in training mode."""
    training = ",".join(name for name, part in module.named_modules() if part.training)
    return f"{content_hash(module)}|{training}"


def answers(scorer: Scorer, x: torch.Tensor, timeout: float | None = None) -> Probe:
    """Some logits of the images x (N, C, H, W); nothing where the classifier fails, of which its cell will tell."""
    try:
        with undisturbed(), limited(timeout):
            logits = scorer.logits(x)
        if not bool(logits.isfinite().all()):
            return ()
        index = torch.linspace(0, logits.shape[1] - 1, min(_LOGITS, logits.shape[1])).round().long()
        return tuple(tuple(float(f"{value:.6g}") for value in row) for row in logits[:, index].tolist())
    except BaseException as error:
        if is_interrupt(error):
            raise
        return ()


def close(one: Probe, other: Sequence[Sequence[float]]) -> bool:
    """Whether two lists of logits (images, classes) agree up to the rounding of another device or batch."""
    a, b = (np.array(side, np.float64) for side in (one, other))
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    spread = np.median(a.max(1) - np.median(a, 1))  # whatever a class that is switched off is set to
    return bool((np.abs(a - b) <= _ROUNDING * spread + 1e-6 * np.abs(a)).all())
