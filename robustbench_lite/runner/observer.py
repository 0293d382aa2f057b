"""Who looks on while a suite runs: told what happens, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.plan import Cell

__all__ = ["Observer", "Phases", "Silent"]


class Observer(Protocol):
    """Told what happens, in order; prints it or not.

    `entered`: what the run, or the cell at work, is doing from now on. `left`: how long a phase of the run took.
    `planned`: `cached` are ids; `resumed`: so many samples of a cell that begins were stored by an earlier run;
    `progressed`: samples of a cell that are done so far, of several cells in turn; `kept`: a shard of it is stored.
    """

    def entered(self, phase: str) -> None: ...
    def left(self, phase: str, seconds: float) -> None: ...
    def planned(self, cells: tuple[Cell, ...], cached: AbstractSet[str]) -> None: ...
    def calibrated(self, calibration: Mapping[str, Any]) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, samples: int) -> None: ...
    def progressed(self, cell: Cell, samples: int) -> None: ...
    def kept(self, cell: Cell) -> None: ...
    def finished(self, report: CellReport) -> None: ...


class Silent:
    """An observer for programs."""

    def entered(self, phase: str) -> None: ...
    def left(self, phase: str, seconds: float) -> None: ...
    def planned(self, cells: tuple[Cell, ...], cached: AbstractSet[str]) -> None: ...
    def calibrated(self, calibration: Mapping[str, Any]) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def resumed(self, cell: Cell, samples: int) -> None: ...
    def progressed(self, cell: Cell, samples: int) -> None: ...
    def kept(self, cell: Cell) -> None: ...
    def finished(self, report: CellReport) -> None: ...


@dataclass
class Phases:
    """The phases of a run that belong to no cell: told as they begin and end, and how long they took."""

    told: Observer
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """While this is open the phase is `name`."""
        self.told.entered(name)
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 3)
        self.told.left(name, taken)
