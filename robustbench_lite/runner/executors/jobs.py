"""What is sent to workers: cells in shares of their samples, the longest first; and what they must know before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustbench_lite.errors import RobustbenchError, UsageError
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.executors.base import Setup, apart
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.sizes import WHOLE, Share

__all__ = ["Job", "Order", "portable", "shares", "split"]

_HALVINGS = 4  # of shares: large ones first, small ones last, so that nobody waits long for the last one
_FEWEST = 16  # samples in a share


@dataclass(frozen=True)
class Order:
    """What a worker has to know before its first job; everything in it can be sent to another process."""

    suite: Mapping[str, Any]
    root: Path | None  # null: where the worker is
    device: str
    threads: int
    batch_size: int | None
    limit: int | None
    timeout: float | None
    shard_size: int | None
    timing: bool

    @classmethod
    def of(cls, setup: Setup, device: str, threads: int) -> Order:
        """To do as the driver would do."""
        assets = setup.assets
        return cls(
            suite=assets.suite.resolved(),
            root=assets.suite.root.resolve(),
            device=device,
            threads=threads,
            batch_size=assets.batch_size,
            limit=assets.limit,
            timeout=assets.timeout,
            shard_size=setup.shard_size,
            timing=setup.timing,
        )


@dataclass(frozen=True)
class Job:
    """A share of the samples of a cell, and the seconds that it may take.

    `cell` comes without its attack, which a worker takes from the suite.
    """

    cell: Cell
    share: Share
    seconds: float = 0.0

    @classmethod
    def of(cls, cell: Cell, share: Share, seconds: float = 0.0) -> Job:
        return cls(replace(cell, attack=None), share, seconds)  # type: ignore[arg-type]

    @property
    def classifiers(self) -> frozenset[str]:
        """What has to be loaded for it."""
        return frozenset((*self.cell.sources, *self.cell.targets))


def portable(assets: Assets, option: str) -> None:
    """Raises UsageError where other processes cannot be told what to run."""
    if assets.suite.objects:
        text = "modules and data in memory cannot be sent to other processes; run them with one job"
        raise UsageError(f"{option}: {text}")


def shares(cells: Sequence[Cell], pace: Pace, jobs: int, within: Share = WHOLE) -> list[Job]:
    """The jobs for these cells, the longest first; a cell that takes long is done in several shares.

    `within`: the share of what can be taken apart that is done here at all.
    """
    expected = {cell.id: _seconds(cell, pace) for cell in cells}
    total = sum(expected.values())
    out = list[Job]()
    for cell in cells:
        separable = apart(cell, pace.assets)
        workers = jobs * expected[cell.id] / max(total, 1e-9)
        parts = split(cell.n // within.parts, workers) if separable else [WHOLE]
        whole = within if separable else WHOLE
        all_of_it = expected[cell.id] / whole.parts
        out += [Job.of(cell, whole.part(one.number, one.parts), all_of_it / one.parts) for one in parts]
    return sorted(out, key=lambda job: -job.seconds)


def split(n: int, workers: float) -> list[Share]:
    """The shares of a cell of n samples that keeps so many workers at work.

    One half of the cell in as many shares as workers, a half of the rest in as many, and so on: when the last few are
    at work, everyone is nearly done.
    """
    each = max(1, min(math.ceil(workers), n // _FEWEST))
    halvings = min(_HALVINGS, max(0, int(math.log2(max(1, n // _FEWEST // each)))))
    spans = [Share(2**i - 2, 2**i) for i in range(1, halvings + 1)] + [Share(2**halvings - 1, 2**halvings)]
    return [span.part(i, each) for span in spans for i in range(each)]


def _seconds(cell: Cell, pace: Pace) -> float:
    try:
        return pace.seconds(cell)
    except RobustbenchError:  # the worker says so
        return 0.0
