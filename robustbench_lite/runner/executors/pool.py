"""Several processes on one machine. Cells are handed out in shares of their samples, the longest first.

What workers make lies in the shards of the results folder; when all of a cell are there its row is put together here,
so that nobody but the driver writes cells. A worker that dies is replaced, and its job done again, three times at most.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from robustbench_lite.errors import AttackError, RobustbenchError, UsageError
from robustbench_lite.lazy import torch
from robustbench_lite.results.shards import gaps
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.conclude import conclude
from robustbench_lite.runner.execute import current, described, execute
from robustbench_lite.runner.executors.base import Setup
from robustbench_lite.runner.executors.worker import Job, Order, work
from robustbench_lite.runner.observer import Observer
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.sizes import Share

__all__ = ["Pool", "devices", "shares", "threads"]

_PIECES = 4  # shares that a worker does at least, where cells are long: nobody waits for the last one
_FEWEST = 16  # samples in a share
_DEATHS = 3  # of workers with the same job


def devices(device: str, jobs: int) -> list[str]:
    """Where each of so many workers computes: every GPU in turn."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{i % gpus}" if gpus else device for i in range(jobs)]


def shares(cells: Sequence[Cell], pace: Pace, jobs: int) -> list[Job]:
    """The jobs for these cells, the longest first; a cell that takes long is done in several shares."""
    expected = {cell.id: _seconds(cell, pace) for cell in cells}
    piece = sum(expected.values()) / (jobs * _PIECES)
    out = list[tuple[float, Job]]()
    for cell in cells:
        apart = cell.attack.separable and pace.assets.samples(cell.dataset).scene is None
        wanted = math.ceil(expected[cell.id] / max(piece, 1e-9)) if apart else 1
        parts = max(1, min(wanted, jobs * _PIECES, cell.n // _FEWEST))
        out += [(expected[cell.id] / parts, Job.of(cell, Share(i, parts))) for i in range(parts)]
    return [job for _, job in sorted(out, key=lambda entry: -entry[0])]


def _seconds(cell: Cell, pace: Pace) -> float:
    try:
        return pace.seconds(cell)
    except RobustbenchError:  # the worker says so
        return 0.0


@dataclass(frozen=True)
class Pool:
    """The executor of so many processes of this machine."""

    jobs: int

    def check(self, assets: Assets) -> None:
        if assets.suite.objects:
            text = "modules and data in memory cannot be sent to other processes; run them with one job"
            raise UsageError(f"--jobs: {text}")

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        for cell in due:
            current(setup.store.shards(cell.id), cell)  # what others would take for theirs
        for cell in due:
            if cell.error:
                setup.told.started(cell)
                yield execute(cell, setup.preflight)
        others = [cell for cell in due if not cell.error]
        if others:
            tasks = shares(others, Pace(setup.assets, setup.store.standing().values()), self.jobs)
            yield from _Driver(setup.store, self._orders(setup), setup.told).run(others, tasks)

    def _orders(self, setup: Setup) -> list[Order]:
        return [
            Order(
                suite=setup.assets.suite.resolved(),
                root=setup.assets.suite.root.resolve(),
                folder=setup.store.folder.resolve(),
                device=device,
                threads=threads(self.jobs),
                batch_size=setup.assets.batch_size,
                limit=setup.assets.limit,
                timeout=setup.assets.timeout,
                shard_size=setup.shard_size,
                timing=setup.timing,
            )
            for device in devices(str(setup.assets.device), self.jobs)
        ]


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None


@dataclass
class _Progress:
    """What is known of a cell of which some jobs are done."""

    cell: Cell
    left: int  # jobs
    report: CellReport | None = None  # of the first that failed
    samples: dict[Share, int] = field(default_factory=dict)


@dataclass
class _Driver:
    """Hands out jobs and puts cells together; yields each as it is done."""

    store: Store
    orders: Sequence[Order]  # one a worker
    told: Observer
    _deaths: Counter[tuple[str, Share]] = field(default_factory=Counter)

    def run(self, cells: Sequence[Cell], jobs: Sequence[Job]) -> Iterator[CellReport]:
        """The reports of all cells, as they are done. Raises whatever interrupts; then the workers are ended."""
        known = {cell.id: cell for cell in cells}
        left = Counter(job.cell.id for job in jobs)
        progress = {name: _Progress(known[name], count) for name, count in left.items()}
        queue, started = deque(jobs), set[str]()
        with self._workers(min(len(self.orders), len(jobs))) as workers:
            while queue or any(worker.job for worker in workers):
                for worker in workers:
                    if worker.job is None and queue:
                        worker.job = queue.popleft()
                        name = worker.job.cell.id
                        if name not in started:
                            started.add(name)
                            self.told.started(known[name])
                        with suppress(BrokenPipeError):  # it is dead, which is seen below
                            worker.pipe.send(worker.job)
                busy = {worker.pipe: place for place, worker in enumerate(workers) if worker.job is not None}
                for pipe in wait(list(busy)):
                    place = busy[pipe]  # type: ignore[index]
                    yield from self._hear(workers, place, progress, queue)

    def _hear(
        self, workers: list[_Worker], place: int, progress: dict[str, _Progress], queue: deque[Job]
    ) -> Iterator[CellReport]:
        worker = workers[place]
        job = worker.job
        assert job is not None
        of = progress[job.cell.id]
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            report = self._died(workers, place, job, of.cell)
            if report is None:
                queue.appendleft(job)
                return
            kind, value = "done", report
        if kind == "samples":
            of.samples[job.share] = value
            self.told.progressed(sum(of.samples.values()))
            return
        workers[place].job = None
        yield from self._done(value, job, of, queue)

    def _done(self, report: CellReport, job: Job, of: _Progress, queue: deque[Job]) -> Iterator[CellReport]:
        of.left -= 1
        report = replace(report, cell=of.cell)
        if report.failed and of.report is None:
            of.report = report
            others = [one for one in queue if one.cell.id == of.cell.id]
            for one in others:  # nobody needs them any more
                queue.remove(one)
            of.left -= len(others)
        if of.left == 0:
            yield of.report or (report if job.share.parts == 1 else self._together(report))

    def _together(self, last: CellReport) -> CellReport:
        """A cell whose shares are all done."""
        shards = self.store.shards(last.cell.id)
        done = shards.stored()
        report = CellReport(last.cell, dict(last.described), last.seconds)
        if not done or gaps(done, done[0].facts["cell"]["n"]):
            return report.failure(AttackError("shards of it are missing, or damaged; run the suite again"), "store")
        conclude(report, done, shards)
        return report

    def _died(self, workers: list[_Worker], place: int, job: Job, cell: Cell) -> CellReport | None:
        """Another worker takes its place. The cell fails where the same job has ended several."""
        process = workers[place].process
        process.join()
        workers[place] = self._started(place)
        key = (cell.id, job.share)
        self._deaths[key] += 1
        if self._deaths[key] < _DEATHS:
            return None
        code = process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        problem = AttackError(f"{cell.source}: {_DEATHS} processes have died of it ({how}; out of memory?)")
        return CellReport(cell, described(cell, self.orders[place].device)).failure(problem, "attack")

    @contextmanager
    def _workers(self, n: int) -> Iterator[list[_Worker]]:
        workers = [self._started(place) for place in range(n)]
        try:
            yield workers
            for worker in workers:
                with suppress(OSError):
                    worker.pipe.send(None)
                worker.process.join(timeout=5)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()

    def _started(self, place: int) -> _Worker:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, self.orders[place]), daemon=True)
        process.start()
        there.close()
        return _Worker(process, here)


def threads(jobs: int) -> int:
    """Threads of each of so many workers: together as many as there are cores."""
    return max(1, (os.cpu_count() or 1) // jobs)
