"""How far a suite is and how long the rest takes, at the pace of this run so far. Nothing is timed for it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.plan import Cell
from robustbench_lite.text import duration, plural

__all__ = ["Outlook"]


@dataclass
class _Mean:
    """A mean of what has been seen; before, a guess."""

    total: float = 0.0
    count: float = 0.0

    def add(self, value: float, count: float) -> None:
        self.total, self.count = self.total + value, self.count + count

    def __call__(self, guess: float) -> float:
        return self.total / self.count if self.count else guess


@dataclass
class Outlook:
    """Is told what observers are told.

    Of finished cells it learns the passes of a sample, by attack, and the seconds of a pass, by source. A cell at work
    is taken at its own pace: AutoAttack takes a robust classifier fifty times as long as one that is not.
    """

    clock: Callable[[], float] = time.monotonic
    cells: int = 0  # of the suite
    finished_cells: int = 0
    shards: int = 0
    _since: float | None = None  # when the first cell was begun
    _begun: dict[str, float] = field(default_factory=dict)  # when each was
    _open: dict[str, Cell] = field(default_factory=dict)
    _samples: dict[str, int] = field(default_factory=dict)
    _stored: dict[str, int] = field(default_factory=dict)  # of them, by an earlier run
    _spent: float = 0.0  # seconds of attacks that are finished, of all workers together
    _passes: defaultdict[str, _Mean] = field(default_factory=lambda: defaultdict(_Mean))
    _seconds: defaultdict[str, _Mean] = field(default_factory=lambda: defaultdict(_Mean))

    def planned(self, cells: tuple[Cell, ...], cached: AbstractSet[str]) -> None:
        self.cells, self.finished_cells = len(cells), len(cached)
        self._open = {cell.id: cell for cell in cells if cell.id not in cached and not cell.error}

    def begun(self, cell: Cell) -> None:
        self._begun[cell.id] = self.clock()
        self._since = self._begun[cell.id] if self._since is None else self._since

    def resumed(self, cell: Cell, samples: int) -> None:
        self._stored[cell.id] = self._samples[cell.id] = samples

    def progressed(self, cell: Cell, samples: int) -> None:
        self._samples[cell.id] = samples

    def kept(self) -> None:
        self.shards += 1

    def finished(self, report: CellReport) -> None:
        cell, row = report.cell, report.row
        self.finished_cells += 1
        self._open.pop(cell.id, None)
        if report.failed or not report.whole:
            return
        n, passes = row["n"], (row["forwards"] or 0) + (row["backwards"] or 0)
        self._samples[cell.id] = n
        fresh = 1 - self._stored.get(cell.id, 0) / max(1, n)
        self._spent += (row["seconds"] or 0.0) * fresh
        self._passes[cell.variant].add(passes, n)
        self._seconds[cell.source].add(row["seconds"] or 0.0, passes)

    @property
    def rate(self) -> float | None:
        """Samples a second, of this run; None before there are any."""
        elapsed, samples = self._elapsed, sum(self._samples.values()) - sum(self._stored.values())
        return samples / elapsed if elapsed and samples > 0 else None

    @property
    def remaining(self) -> float | None:
        """Seconds until all cells are finished; None where nothing is known yet."""
        done, left, elapsed, usual = self._spent, 0.0, self._elapsed, self._usual()
        for cell in self._open.values():
            fresh, taken = self._at_work(cell)
            each = taken / fresh if fresh else self._each(cell, usual)
            done += taken if fresh else 0.0
            left += each * max(0, cell.n - self._samples.get(cell.id, 0))
        return left * elapsed / done if elapsed and done > 0 else None

    @property
    def _elapsed(self) -> float:
        return 0.0 if self._since is None else self.clock() - self._since

    def _at_work(self, cell: Cell) -> tuple[int, float]:
        """How many samples of a cell are done in this run, and the seconds since it was begun."""
        fresh = max(0, self._samples.get(cell.id, 0) - self._stored.get(cell.id, 0))
        return fresh, self.clock() - self._begun[cell.id] if cell.id in self._begun else 0.0

    def _usual(self) -> float:
        """Seconds of a pass: of finished cells; as long as there are none, of those at work."""
        known = [(mean.total, mean.count) for mean in self._seconds.values() if mean.count]
        work = [(*self._at_work(cell), cell) for cell in self._open.values() if not known]
        known += [(taken, fresh * cell.attack.typical_passes) for fresh, taken, cell in work if fresh]
        return sum(total for total, _ in known) / sum(count for _, count in known) if known else 1.0

    def _each(self, cell: Cell, usual: float) -> float:
        """Seconds of a sample, if there were one worker."""
        return self._passes[cell.variant](cell.attack.typical_passes) * self._seconds[cell.source](usual)

    def __str__(self) -> str:
        """In a few words: shards stored, samples a second, time left of the whole suite."""
        rate, left = self.rate, self.remaining
        parts = [f"{plural(self.shards, 'shard')} stored"] if self.shards else []
        parts += [f"{rate:.3g} samples/s"] if rate else []
        parts += [f"about {duration(left)} left in all"] if left else []
        return ", ".join(parts)
