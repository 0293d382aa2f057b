"""Several processes on one machine: each on one of the GPUs in turn, or with its part of the cores.

What they make lies in the shards of the results folder.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from robustbench_lite.lazy import torch
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.executors.base import Setup
from robustbench_lite.runner.executors.driver import Driver, Word
from robustbench_lite.runner.executors.jobs import Order, portable
from robustbench_lite.runner.executors.worker import work
from robustbench_lite.runner.plan import Cell

__all__ = ["Pool", "Processes", "devices", "threads"]


@dataclass(frozen=True)
class Pool:
    """The executor of so many processes of this machine."""

    jobs: int

    def check(self, assets: Assets, folder: Path) -> None:  # noqa: ARG002
        portable(assets, "--jobs")

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        device = str(setup.assets.device)
        orders = [Order.of(setup, where, threads(self.jobs)) for where in devices(device, self.jobs)]
        yield from Driver(setup, Processes(orders, setup.store.folder.resolve(), device), self.jobs).run(due)


def devices(device: str, jobs: int) -> list[str]:
    """Where each of so many workers computes: every GPU in turn."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{i % gpus}" if gpus else device for i in range(jobs)]


def threads(jobs: int) -> int:
    """Threads of each of so many workers: together as many as there are cores."""
    return max(1, (os.cpu_count() or 1) // jobs)


@dataclass
class Processes:
    """The crew: a process for each order, which does what it is given."""

    orders: Sequence[Any]
    folder: Path
    device: str
    work: Callable[[Connection, Any, Path], None] = work
    _at: dict[int, tuple[BaseProcess, Connection]] = field(default_factory=dict)

    def begin(self, place: int) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=self.work, args=(there, self.orders[place], self.folder), daemon=True)
        process.start()
        there.close()
        self._at[place] = process, here

    def give(self, place: int, job: Any) -> None:
        with suppress(OSError):  # it is dead, which is heard below
            self._at[place][1].send(job)

    def hear(self, busy: Sequence[int]) -> Iterator[Word]:
        places = {self._at[place][1]: place for place in busy}
        for pipe in wait(list(places)):
            assert isinstance(pipe, Connection)
            try:
                yield (places[pipe], *pipe.recv())
            except (EOFError, OSError):
                yield places[pipe], "died", self._how(places[pipe])

    def _how(self, place: int) -> str:
        process, _ = self._at[place]
        process.join()
        code = process.exitcode or 0
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        for process, _ in self._at.values():
            process.kill()  # whatever is stored is whole
        for process, _ in self._at.values():
            process.join()
