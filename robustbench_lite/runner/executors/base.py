"""What every executor is: cells go in, a report of each comes out as it is done; nobody but the caller writes cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robustbench_lite.results.shards import Kept
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.execute import current
from robustbench_lite.runner.observer import Observer
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.sizes import WHOLE, Share

__all__ = ["Executor", "Setup", "apart", "begin"]


@dataclass(frozen=True)
class Setup:
    """What cells need beside themselves: what is loaded, where shards lie, who is told, what the user has chosen."""

    preflight: Preflight
    store: Store
    told: Observer
    timing: bool = True  # also time a few samples of each cell at batch size 1
    shard_size: int | None = None  # null: minutes of work
    share: Share = WHOLE  # of the samples of each cell; other runs attack the others

    @property
    def assets(self) -> Assets:
        """The classifiers and data of the suite."""
        return self.preflight.assets

    def share_of(self, cell: Cell) -> Share:
        """The samples of a cell that are attacked here: all, where it cannot be taken apart."""
        return self.share if not cell.error and apart(cell, self.assets) else WHOLE


def apart(cell: Cell, assets: Assets) -> bool:
    """Whether several can attack a part of its samples each."""
    return cell.attack.separable and assets.samples(cell.dataset).scene is None


class Executor(Protocol):
    """Attacks cells somewhere."""

    def check(self, assets: Assets, folder: Path) -> None:
        """Before anything is loaded; `folder`: of results. Raises UsageError where it cannot run this suite."""

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        """What became of each cell, as it is done; observers are told. Closing it ends whatever it has begun."""
        ...


def begin(cell: Cell, shards: Kept, told: Observer) -> None:
    """Say that the cell is at work, and what an earlier run has left of it."""
    told.started(cell)
    if stored := sum(len(shard) for shard in current(shards, cell)):
        told.resumed(cell, stored)
