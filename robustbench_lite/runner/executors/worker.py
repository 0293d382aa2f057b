"""A process that attacks what it is told to: some samples of a cell at a time. Its driver is in `pool`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.lazy import torch
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.execute import Watch, execute
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.sizes import Share
from robustbench_lite.suite.builder import Suite, load

__all__ = ["Job", "Order", "work"]

_EVERY = 0.5  # seconds between two looks at whether the driver is still there


@dataclass(frozen=True)
class Order:
    """What a worker has to know before its first job; everything in it can be sent to another process."""

    suite: Mapping[str, Any]
    root: Path
    folder: Path
    device: str
    threads: int
    batch_size: int | None
    limit: int | None
    timeout: float | None
    shard_size: int | None
    timing: bool


@dataclass(frozen=True)
class Job:
    """A share of the samples of a cell. `cell` comes without its attack, which a worker takes from the suite."""

    cell: Cell
    share: Share

    @classmethod
    def of(cls, cell: Cell, share: Share) -> Job:
        return cls(replace(cell, attack=None), share)  # type: ignore[arg-type]


def work(driver: Connection, order: Order) -> None:
    """Do jobs until there are no more: tell the driver of samples, and of each job what became of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver is told, and ends its workers
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(order.threads)
    suite = load(order.suite, root=order.root)
    assets = Assets(suite, torch.device(order.device), order.batch_size, order.limit, order.timeout)
    preflight, store = Preflight(assets), Store(order.folder)
    with deterministic():
        while (job := driver.recv()) is not None:
            report = _do(job, preflight, store, order, driver)
            driver.send(("done", _portable(report)))


def _do(job: Job, preflight: Preflight, store: Store, order: Order, driver: Connection) -> CellReport:
    cell = replace(job.cell, attack=_attack(preflight.assets.suite, job.cell))
    watch = Watch(lambda n: driver.send(("samples", n)))
    shards = store.shards(cell.id)
    sizes: dict[str, Any] = {"shard_size": order.shard_size, "share": job.share}
    timing = order.timing and job.share.number == 0
    return execute(cell, preflight, watch, timing=timing, shards=shards, **sizes)


def _attack(suite: Suite, cell: Cell) -> Any:
    return next(entry.attack for entry in suite.attacks if entry.variant == cell.variant)


def _portable(report: CellReport) -> CellReport:
    """Without the attack, and with its images in memory; what lies in shards stays there."""
    images = tuple(report.images) if report.whole else ()
    return replace(report, cell=replace(report.cell, attack=None), images=images)  # type: ignore[arg-type]


def _follow(driver: int) -> None:
    """End with the driver, however that ends: nobody would ever read what is made."""
    while os.getppid() == driver:
        time.sleep(_EVERY)
    os._exit(1)
