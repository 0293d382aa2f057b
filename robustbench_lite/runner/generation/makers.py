"""Several processes that train and judge generators, one cell each; only the process that was called stores them.

A process that dies is replaced, and another goes on where its training was stored last. Three that die without anything
stored in between fail the cell, and the others go on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.lazy import torch
from robustbench_lite.runner.executors.pool import Processes, devices
from robustbench_lite.runner.executors.worker import follow
from robustbench_lite.runner.generation.cell import GeneratorCell
from robustbench_lite.runner.generation.make import CHECKPOINT, made
from robustbench_lite.runner.generation.report import GeneratorReport, described
from robustbench_lite.runner.observer import Observer, Silent

if TYPE_CHECKING:
    from robustbench_lite.runner.made import MadeCell

__all__ = ["Maker", "Makers"]

_DEATHS = 3  # of processes with the same cell, and nothing of it stored in between


@dataclass(frozen=True)
class Maker:
    """How a generator is made here: where trainings go on and leave off, where data lie, on what, for how long."""

    folder: Path
    root: Path
    device: torch.device
    timeout: float | None = None

    def make(self, cell: GeneratorCell, told: Observer) -> GeneratorReport:
        return made(cell, self.folder / cell.id, self.root, self.device, told, self.timeout)

    def stored(self, cell: GeneratorCell) -> int:
        """When its training was last stored; 0: never."""
        path = self.folder / cell.id / CHECKPOINT
        return path.stat().st_mtime_ns if path.exists() else 0


class _Far(Silent):
    """Sends the driver what the observer of a training is told."""

    def __init__(self, say: Callable[[tuple[str, Any]], None]) -> None:
        self.say = say

    def trained(self, cell: MadeCell, steps: int) -> None:  # noqa: ARG002  (the driver knows whose it is)
        self.say(("trained", steps))


def work(driver: Connection, maker: Maker, folder: Path) -> None:  # noqa: ARG001  (of all crews)
    """A process that makes cells until it is ended."""
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver is told, and ends its workers
    with suppress(EOFError, BrokenPipeError, ConnectionResetError), deterministic():  # the driver is dead
        while True:
            driver.send(("done", maker.make(driver.recv(), _Far(driver.send))))


@dataclass
class Makers:
    """So many processes at work on some cells."""

    maker: Maker
    jobs: int
    told: Observer
    _at: dict[int, GeneratorCell] = field(default_factory=dict)  # who is busy with what
    _deaths: Counter[tuple[str, int]] = field(default_factory=Counter)  # by cell, and when it was stored last

    def reports(self, cells: Sequence[GeneratorCell]) -> Generator[GeneratorReport]:
        """What became of each cell, as it is done. Closing it ends the processes."""
        queue, places = list(cells), range(min(self.jobs, len(cells)))
        device = str(self.maker.device)
        makers = [replace(self.maker, device=torch.device(where)) for where in devices(device, self.jobs)]
        crew = Processes(makers, self.maker.folder, device, work)
        numbers = {cell.id: number for number, cell in enumerate(cells, 1)}
        try:
            for place in places:
                crew.begin(place)
            while queue or self._at:
                for place in places:
                    if place not in self._at and queue:
                        self._at[place] = cell = queue.pop(0)
                        self.told.making(cell, numbers[cell.id], len(cells))
                        crew.give(place, cell)
                for place, word, about in crew.hear(list(self._at)):
                    yield from self._heard(place, word, about, crew)
        finally:
            crew.end()

    def _heard(self, place: int, word: str, about: Any, crew: Processes) -> Generator[GeneratorReport]:
        cell = self._at[place]
        if word == "trained":
            self.told.trained(cell, about)
            return
        if word == "died":
            crew.begin(place)
            key = cell.id, self.maker.stored(cell)
            self._deaths[key] += 1
            if self._deaths[key] < _DEATHS:
                crew.give(place, cell)
                return
            problem = ModelError(f"{cell.name}: {_DEATHS} processes have died of it ({about}; out of memory?)")
            about = GeneratorReport(cell, described(cell, str(self.maker.device))).failure(problem, "train")
        del self._at[place]
        yield about
