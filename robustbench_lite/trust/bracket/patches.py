"""The bracket of a patch that is stuck anywhere: brightness decides, so how much a patch can do is its area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.job import Fitting
from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job

__all__ = ["Bright", "on_patches"]

_N, _SIDE, _STEEP = 24, 32, 20.0  # images; pixels; logits for the whole range of brightness
_WITHIN, _BEYOND = 0.75, 1.1  # shares of the area: whole pixels are covered, a few more or fewer


class Bright:
    """Two classes of images (n, 1, S, S): the second where they are brighter on average than the threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        gap = _STEEP * (x.flatten(1).mean(1) - self.threshold)
        return torch.stack([-gap / 2, gap / 2], 1)


def on_patches(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:  # noqa: ARG001  (short)
    """On black images a white patch is as bright as its area: three quarters of that must do, a tenth more cannot."""
    area, smallest = (float(attack.params()[key]) for key in ("area", "smallest"))
    for batch_size in batch_sizes:
        for threshold, wanted in ((_WITHIN * area * smallest**2, _N), (_BEYOND * area, 0)):
            case = f"black images, {threshold:.3f} of white, batch {batch_size}"
            yield from guarded(
                attack, case, partial(_tried, attack.tried(_N), Bright(threshold), wanted, case, batch_size)
            )


def _tried(attack: Attack, bright: Bright, wanted: int, case: str, batch_size: int) -> Iterator[Finding]:
    x, label = torch.zeros(_N, 1, _SIDE, _SIDE), torch.zeros(_N, dtype=torch.int64)
    goal = Goal(label, 2) if attack.target is None else Goal(label + 1, 2, targeted=True)
    work = job(attack, x, goal)
    work.setting = Fitting(x, Goal(label, 2), work.draw)
    verdicts, _ = attempt(attack, bright, work, batch_size)
    won, faults = int(verdicts.success.sum()), [fault for fault in verdicts.fault if fault]
    found = f"{won} succeed" + (f", {len(faults)} contract violations: {faults[0]}" if faults else "")
    yield Finding(attack.registered, case, f"{wanted} of {_N}", found, won == wanted and not faults)
