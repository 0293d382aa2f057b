"""What every executor is: cells go in, a report of each comes out as it is done; nobody but the caller writes cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.observer import Observer
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.preflight import Preflight

__all__ = ["Executor", "Setup"]


@dataclass(frozen=True)
class Setup:
    """What cells need beside themselves: what is loaded, where shards lie, who is told, what the user has chosen."""

    preflight: Preflight
    store: Store
    told: Observer
    timing: bool = True  # also time a few samples of each cell at batch size 1
    shard_size: int | None = None  # null: minutes of work

    @property
    def assets(self) -> Assets:
        """The classifiers and data of the suite."""
        return self.preflight.assets


class Executor(Protocol):
    """Attacks cells somewhere."""

    def check(self, assets: Assets) -> None:
        """Before anything is loaded. Raises UsageError where it cannot run this suite, with the way out."""

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        """What became of each cell, as it is done; observers are told. Closing it ends whatever it has begun."""
        ...
