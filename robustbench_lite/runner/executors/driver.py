"""Hands out jobs to workers of whatever kind, and puts cells together; nobody but the driver writes cells.

A worker that dies is replaced, and what is left of its job done by another. Three that die without a shard stored fail
the cell, and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from robustbench_lite.errors import AttackError
from robustbench_lite.results.shards import Shards
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.conclude import joined
from robustbench_lite.runner.execute import described, execute
from robustbench_lite.runner.executors.base import Setup, begin
from robustbench_lite.runner.executors.jobs import Job, shares
from robustbench_lite.runner.executors.schedule import pick
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.sizes import WHOLE, Share

__all__ = ["Crew", "Driver", "Word"]

_DEATHS = 3  # of workers with the same job, and no shard stored in between
Word = tuple[int, str, Any]  # which worker; "samples", "kept", "done", "died", or of `_OF_SHARDS`; what of it
_OF_SHARDS: dict[str, Callable[[Shards, Any], None]] = {  # what a worker wants to be done who sees no results folder
    "add": Shards.add,
    "add_fit": Shards.add_fit,
    "drop": lambda shards, _: shards.drop(),
}


class Crew(Protocol):
    """Workers of one kind, called by number."""

    @property
    def device(self) -> str:
        """What failures name."""
        ...

    def begin(self, place: int) -> None:
        """Start a worker there, in the place of one that has died."""

    def give(self, place: int, job: Job) -> None:
        """Send it a job; one that is dead is heard of."""

    def hear(self, busy: Sequence[int]) -> Iterable[Word]:
        """Wait until some of these say something, or for a while."""
        ...

    def end(self) -> None:
        """End them all."""


@dataclass
class _Progress:
    """What is known of a cell of which some jobs are done."""

    cell: Cell
    left: int  # jobs
    report: CellReport | None = None  # of the first that failed
    samples: dict[Share, int] = field(default_factory=dict)


@dataclass
class Driver:
    """Yields each cell as it is done."""

    setup: Setup
    crew: Crew
    workers: int
    _queue: list[Job] = field(default_factory=list)
    _at: dict[int, Job] = field(default_factory=dict)  # who is busy with what
    _loaded: list[set[str]] = field(default_factory=list)  # classifiers of each worker
    _progress: dict[str, _Progress] = field(default_factory=dict)
    _deaths: Counter[tuple[str, Share]] = field(default_factory=Counter)

    def run(self, due: Sequence[Cell]) -> Generator[CellReport]:
        """The reports of all cells. Raises whatever interrupts; then the workers are ended."""
        yield from self._hopeless(due)
        cells = [cell for cell in due if not cell.error]
        if not cells:
            return
        self._queue = shares(
            cells, Pace(self.setup.assets, self.setup.store.standing().values()), self.workers, self.setup.share
        )
        left = Counter(job.cell.id for job in self._queue)
        self._progress = {cell.id: _Progress(cell, left[cell.id]) for cell in cells}
        self._loaded = [set() for _ in range(min(self.workers, len(self._queue)))]
        try:
            for place in range(len(self._loaded)):
                self.crew.begin(place)
            while self._queue or self._at:
                self._hand_out()
                for place, word, about in self.crew.hear(list(self._at)):
                    yield from self._heard(place, word, about)
        finally:
            self.crew.end()

    def _hopeless(self, due: Sequence[Cell]) -> Iterator[CellReport]:
        for cell in due:
            if cell.error:
                begin(cell, self.setup.store.shards(cell.id), self.setup.told)
                yield execute(cell, self.setup.preflight)

    def _hand_out(self) -> None:
        for place, loaded in enumerate(self._loaded):
            if place not in self._at and self._queue:
                elsewhere = set[str]().union(*(names for names in self._loaded if names is not loaded))
                job = self._queue.pop(pick(self._queue, loaded, elsewhere))
                self._begin(job)
                loaded.update(job.classifiers)
                self._at[place] = job
                self.crew.give(place, job)

    def _begin(self, job: Job) -> None:
        progress = self._progress[job.cell.id]
        if not progress.samples:  # also takes away shards of another name, before anybody takes them for theirs
            begin(progress.cell, self.setup.store.shards(job.cell.id), self.setup.told)
        progress.samples[job.share] = 0

    def _heard(self, place: int, word: str, about: Any) -> Iterator[CellReport]:
        job, told = self._at[place], self.setup.told
        progress = self._progress[job.cell.id]
        if word == "samples":
            progress.samples[job.share] = about
            told.progressed(progress.cell, sum(progress.samples.values()))
        elif word == "kept":
            self._deaths.pop((job.cell.id, job.share), None)  # it goes on, whoever has died
            told.kept(progress.cell)
        elif word in _OF_SHARDS:
            _OF_SHARDS[word](self.setup.store.shards(job.cell.id), about)
        elif word == "done":
            del self._at[place]
            yield from self._done(about, job, progress)
        else:
            yield from self._died(place, about, job, progress)

    def _done(self, report: CellReport, job: Job, of: _Progress) -> Iterator[CellReport]:
        of.left -= 1
        report = replace(report, cell=of.cell)
        if report.failed and of.report is None:
            of.report = report
            others = [one for one in self._queue if one.cell.id == job.cell.id]
            self._queue = [one for one in self._queue if one.cell.id != job.cell.id]  # nobody needs them any more
            of.left -= len(others)
        if of.left == 0:
            here = report.whole or self.setup.share != WHOLE  # or other runs have a part in it, and the caller looks
            yield of.report or (report if here else self._together(report))

    def _together(self, last: CellReport) -> CellReport:
        """A cell whose shards are all stored."""
        report = CellReport(last.cell, last.described, last.seconds)
        whole = joined(self.setup.store.shards(last.cell.id))
        if whole is None:
            return report.failure(AttackError("shards of it are missing, or damaged; run the suite again"), "store")
        report.finish(whole)
        return report

    def _died(self, place: int, how: str, job: Job, of: _Progress) -> Iterator[CellReport]:
        """Another takes its place. The cell fails where the same job has ended several."""
        del self._at[place]
        self._loaded[place].clear()
        self.crew.begin(place)
        key = (of.cell.id, job.share)
        self._deaths[key] += 1
        if self._deaths[key] < _DEATHS:
            self._queue.insert(0, job)
            return
        problem = AttackError(f"{of.cell.source}: {_DEATHS} processes have died of it ({how}; out of memory?)")
        failed = CellReport(of.cell, described(of.cell, self.crew.device)).failure(problem, "attack")
        yield from self._done(failed, job, of)
