"""The bracket of attacks that search transforms: a failure planted at one candidate, and a blob that must be moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from robustbench_lite.engine.attack import Attack
from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.images import on_images
from robustbench_lite.trust.bracket.linear import Linear

__all__ = ["Planted", "on_transforms"]

_N = 8  # images


class Planted:
    """Two classes: the second only where an image is one of the prototypes (N, C, H, W)."""

    def __init__(self, prototypes: torch.Tensor) -> None:
        self.flat = prototypes.flatten(1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        away = torch.cdist(x.flatten(1).double(), self.flat.double()).amin(1)
        return torch.stack([torch.zeros_like(away), 1e-4 - away], 1).float()


def on_transforms(attack: Any, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:
    """The search as it is configured; what goes on from its result is an attack of its own."""
    alone = attack.tried(_N)
    check, case = (_climbed, "a blob") if attack.search == "first_order" else (_planted, "one candidate planted")
    for stop in dict.fromkeys((attack.stop, *(("success", "never") if whole else ()))):
        for batch_size in batch_sizes if stop == attack.stop else batch_sizes[-1:]:
            said = f"{case}, {attack.search}, stop: {stop}, batch {batch_size}"
            one = alone.model_copy(update={"stop": stop})
            yield from guarded(attack, said, partial(check, one, batch_size, said))
    if attack.follow_up is not None:
        yield from on_images(attack.follow_up, batch_sizes, whole=whole)


def _planted(attack: Any, batch_size: int, case: str) -> Iterator[Finding]:
    """A classifier that fails at exactly one candidate of each image, another one each, which must be found."""
    side = max(8, math.ceil(2.5 * attack.translation))
    x = torch.rand((_N, 1, side, side), generator=torch.Generator().manual_seed(0))
    goal = Goal(torch.zeros(_N, dtype=torch.int64), 2)
    work = job(attack, x, goal)
    number, grid = torch.arange(_N), torch.zeros(0, 4, dtype=torch.float64)
    if attack.search == "grid":
        grid = attack.limits.grid(attack.angles, attack.shifts, attack.scales)
    total = len(grid) + attack.draws
    number = (total - 1 - number * 7) % total  # the last one among them
    drawn = attack.limits.at(2 * work.draw.uniform("spatial", (4,), (number - len(grid)).clamp_min(0)).double() - 1)
    planted = torch.where((number < len(grid))[:, None], torch.cat([grid, drawn])[number.clamp_max(len(grid))], drawn)
    verdicts, _ = attempt(attack, Planted(attack.rebuild(x, planted)), work, batch_size)
    yield _finding(attack, f"{case}, of {total}", verdicts, _N)


def _climbed(attack: Any, batch_size: int, case: str) -> Iterator[Finding]:
    """A classifier that asks where a blob is: moved as far as the limits allow it is just far enough, or not quite."""
    side = max(16, math.ceil(4 * attack.translation + 8))
    shift = attack.translation > 0
    if not shift and attack.rotation == 0:
        return  # nothing to climb
    at = 0.0 if shift else side / 4
    line = torch.arange(side).double() - (side - 1) / 2
    blob = torch.exp(-((line[None] - at) ** 2 + line[:, None] ** 2) / (2 * (side / 16) ** 2))
    x = blob.float().expand(_N, 1, side, side)
    farthest = attack.translation if shift else at * math.sin(math.radians(min(attack.rotation, 90.0)))
    for share, wanted in ((0.9, True), (1.05, False)):
        for axis in (line[None], line[:, None]) if shift else (line[:, None],):
            for sign in (1, -1):
                yield _pushed(attack, x, sign * axis.expand(side, side), share * farthest, batch_size, case, wanted)


def _pushed(
    attack: Any, x: torch.Tensor, along: torch.Tensor, distance: float, batch_size: int, case: str, wanted: bool
) -> Finding:
    """Class 1 where the blob's centre lies beyond the distance along the axis."""
    weight = torch.stack([torch.zeros_like(along), along]).flatten(1)
    bias = torch.tensor([0.0, -distance * float(x[0].sum())]).double()
    goal = Goal(torch.zeros(len(x), dtype=torch.int64), 2)
    verdicts, _ = attempt(attack, Linear(weight.float(), bias.float()), job(attack, x, goal), batch_size)
    return _finding(attack, f"{case}, {'within' if wanted else 'beyond'} the limits", verdicts, len(x) * wanted)


def _finding(attack: Attack, case: str, verdicts: Any, wanted: int) -> Finding:
    won, faults = int(verdicts.success.sum()), [fault for fault in verdicts.fault if fault]
    found = f"{won} found" + (f", {len(faults)} contract violations: {faults[0]}" if faults else "")
    return Finding(attack.registered, case, f"{wanted} of {len(verdicts.success)}", found, won == wanted and not faults)
