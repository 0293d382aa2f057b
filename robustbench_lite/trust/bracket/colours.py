"""The bracket of changes of colour: who looks at one pixel sees it become so bright and no brighter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from robustbench_lite.engine.attack import Attack
from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.linear import Linear

__all__ = ["on_colours"]

_N, _SIDE, _STEEP = 16, 4, 20.0  # images; pixels; logits for the whole range of brightness
_WITHIN, _BEYOND = 0.9, 1.02  # shares of the most that can be gained


def on_colours(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:  # noqa: ARG001  (short)
    """Of a grey pixel brightness and contrast are all; both are at their ends where it is brightest."""
    brightness, contrast = (float(attack.params()[key]) for key in ("brightness", "contrast"))
    able = (brightness or contrast) and math.isfinite(attack.promise.factor)
    shares = (*(((_WITHIN, _N),) if able else ()), (_BEYOND, 0))
    for batch_size in batch_sizes:
        for level in (0.3, 0.6):
            most = max(0.02, min(1 - level, brightness + contrast * abs(level - 0.5)))  # hue does nothing to grey
            for share, wanted in shares:
                case = f"a pixel of {level}, {share} of what can be gained, batch {batch_size}"
                check = partial(_tried, attack.tried(_N), level, level + share * most, wanted, case, batch_size)
                yield from guarded(attack, case, check)


def _tried(
    attack: Attack, level: float, threshold: float, wanted: int, case: str, batch_size: int
) -> Iterator[Finding]:
    x = torch.rand((_N, 1, _SIDE, _SIDE), generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0] = level
    weight = torch.zeros(2, _SIDE**2)
    weight[1, 0] = _STEEP
    label = torch.zeros(_N, dtype=torch.int64)
    goal = Goal(label, 2) if attack.target is None else Goal(label + 1, 2, targeted=True)
    verdicts, _ = attempt(
        attack, Linear(weight, torch.tensor([_STEEP * threshold, 0.0])), job(attack, x, goal), batch_size
    )
    won, faults = int(verdicts.success.sum()), [fault for fault in verdicts.fault if fault]
    found = f"{won} succeed" + (f", {len(faults)} contract violations: {faults[0]}" if faults else "")
    yield Finding(attack.registered, case, f"{wanted} of {_N}", found, won == wanted and not faults)
