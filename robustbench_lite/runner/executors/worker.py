"""A worker: it loads what it needs once, and attacks what it is told to, some samples of a cell at a time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.lazy import torch
from robustbench_lite.results.shards import Kept
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.execute import Watch, execute
from robustbench_lite.runner.executors.jobs import Job, Order
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.suite.builder import load

__all__ = ["Say", "Worker", "follow", "work"]

Say = Callable[[str, Any], None]  # a word, and what it is about: "samples", of the share, or "kept", a shard
_EVERY = 0.5  # seconds between two looks at whether the driver is still there
_SELDOM = 0.2  # seconds between two words about how many samples are done


class Worker:
    """Does jobs. PyTorch's switches are set for as long as its process lives."""

    def __init__(self, order: Order) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver is told, and ends its workers
        torch.set_num_threads(order.threads)
        self.held = ExitStack()  # a context that nobody holds is left at once
        self.held.enter_context(deterministic())
        suite = load(order.suite, root=order.root or Path.cwd())
        assets = Assets(suite, torch.device(order.device), order.batch_size, order.limit, order.timeout)
        self.order, self.preflight = order, Preflight(assets)

    def do(self, job: Job, shards: Kept, say: Say) -> CellReport:
        """Attack; what comes back can be sent. `say`: is told of samples and shards meanwhile."""
        order, cell = self.order, replace(job.cell, attack=self._attack(job.cell))
        watch = Watch(progressed=_Seldom(lambda n: say("samples", n)), kept=lambda: say("kept", None))
        sizes: dict[str, Any] = {"shard_size": order.shard_size, "share": job.share, "concludes": False}
        timing = order.timing and job.share.number == 0
        return _portable(execute(cell, self.preflight, watch, timing=timing, shards=shards, **sizes))

    def _attack(self, cell: Cell) -> Any:
        return next(entry.attack for entry in self.preflight.assets.suite.attacks if entry.variant == cell.variant)


def _portable(report: CellReport) -> CellReport:
    """Without the attack, and with its images in memory; what lies in shards stays there."""
    return replace(report, cell=replace(report.cell, attack=None), images=tuple(report.images))  # type: ignore[arg-type]


@dataclass
class _Seldom:
    """Tells of numbers now and then."""

    say: Callable[[int], None]
    _last: float = field(default=0.0)

    def __call__(self, number: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SELDOM:
            self._last = now
            self.say(number)


def work(driver: Connection, order: Order, folder: Path) -> None:
    """A process that does jobs until it is ended; shards go into the results folder, words to the driver."""
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    worker, store = Worker(order), Store(folder)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver is dead
        while True:
            job = driver.recv()
            report = worker.do(job, store.shards(job.cell.id), lambda word, about: driver.send((word, about)))
            driver.send(("done", report))


def follow(driver: int) -> None:
    """End with the driver, however that ends: nobody would ever read what is made."""
    while os.getppid() == driver:
        time.sleep(_EVERY)
    os._exit(1)
