"""What a person sees while a suite runs, on stderr: a live bar on a terminal, one plain line per cell elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from robustbench_lite.results.evaluation import through
from robustbench_lite.results.made import MADE
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.made import MadeCell, MadeReport
from robustbench_lite.runner.observer import Observer, Silent
from robustbench_lite.runner.outlook import Outlook
from robustbench_lite.runner.plan import Cell
from robustbench_lite.text import first_of, plural, visible

__all__ = ["Bars", "Lines", "observer"]

_WORTH_SAYING = 0.05  # seconds of a phase
_SELDOM = 30.0  # seconds between two lines about the rest
_NAME = 400  # characters of a cell's names; a bar has one line


def _outcome(report: CellReport, told: set[str]) -> str:
    """One cell's result in a few words; why it failed only where that is not `told` already."""
    row = report.row
    if not report.whole:
        return "this part of it is stored"
    if report.failed:
        known, error = row["error"] in told, str(row["error"])
        told.add(error)
        return "FAILED for the same reason" if known else visible(f"FAILED: {error}")
    broken = report.share("success")
    text = f"{broken:6.1%} succeed, {row['seconds']:.2f} s{_beside(row)}"
    return "; ".join([text, *(visible(f"WARNING: {warning}") for warning in row["warnings"])])


def _made(report: MadeReport) -> str:
    """What became of a cell that attacks nothing, in a few words."""
    return visible(f"{report.cell.dataset} · {report.cell.name}: {report.said}")


def _place(cell: MadeCell, number: int, total: int) -> str:
    return f"{MADE[cell.kind].word} {number} of {total}"


def _beside(row: Row) -> str:
    """What took time beside the attack, where it took any."""
    names = {"seconds_inspect": "inspecting", "seconds_timing": "timing at batch size 1", "seconds_judge": "judging"}
    parts = [f"{text} {row[name]:.2f} s" for name, text in names.items() if (row[name] or 0) >= _WORTH_SAYING]
    return f" ({', '.join(parts)})" if parts else ""


def _title(cell: Cell) -> str:
    seen = through({"sources": list(cell.sources), "models": list(cell.targets), "source": cell.source})
    return visible(f"{cell.dataset} · {seen} · {cell.variant}", _NAME)


def _suspicions(calibration: Mapping[str, Any]) -> list[str]:
    """A sentence for each attack that missed exact answers: the first, and how many more."""
    failed = {name: it["failed"] for name, it in calibration.items() if it["failed"]}
    return [
        visible(f"RED: calibration of {name}, whose numbers will not stand: {first_of(texts)}")
        for name, texts in failed.items()
    ]


class Lines(Silent):
    """One plain line per cell, for logs and pipes; and now and then one that says how long the rest takes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.outlook, self.said = stream, Outlook(), time.monotonic()
        self.making_of, self.told = "", set[str]()  # why cells have failed
        self.places: dict[str, str] = {}  # of cells that are being made

    def left(self, phase: str, seconds: float) -> None:
        if seconds >= _WORTH_SAYING:
            self._say(f"{phase}: {seconds:.2f} s")

    def planned(self, cells: tuple[Cell, ...], cached: AbstractSet[str]) -> None:
        self.outlook.planned(cells, cached)
        if cells:  # none: a suite that attacks nothing
            self._say(f"{plural(len(cells), 'cell')}, {len(cached)} already in the store")

    def calibrated(self, calibration: Mapping[str, Any]) -> None:
        for line in _suspicions(calibration):
            self._say(line)

    def started(self, cell: Cell) -> None:
        self.outlook.begun(cell)

    def resumed(self, cell: Cell, samples: int) -> None:
        self.outlook.resumed(cell, samples)

    def progressed(self, cell: Cell, samples: int) -> None:
        self.outlook.progressed(cell, samples)
        self._look_ahead()

    def kept(self, cell: Cell) -> None:  # noqa: ARG002
        self.outlook.kept()
        self._look_ahead()

    def finished(self, report: CellReport) -> None:
        self.outlook.finished(report)
        self._say(f"{self._place} {_title(report.cell)}: {_outcome(report, self.told)}")
        self._look_ahead()

    def making(self, cell: MadeCell, number: int, total: int) -> None:
        self.places[cell.id] = _place(cell, number, total)

    def made(self, report: MadeReport) -> None:
        self._say(f"{self.places[report.cell.id]}: {_made(report)}")

    @property
    def _place(self) -> str:
        return f"[{self.outlook.finished_cells}/{self.outlook.cells}]"

    def _look_ahead(self) -> None:
        if time.monotonic() - self.said >= _SELDOM and str(self.outlook):
            self.said = time.monotonic()
            self._say(f"{self._place} {self.outlook}")

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


class Bars(Silent):
    """A bar for the whole run and one for each cell at work; beside them shards, samples a second and the time left."""

    def __init__(self, console: Console) -> None:
        self.console, self.outlook = console, Outlook()
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[outlook]}", markup=False),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("cells", total=None, outlook="")
        self.work: dict[str, TaskID] = {}  # cells at work
        self.last: Cell | None = None  # that began
        self.told = set[str]()  # why cells have failed

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def entered(self, phase: str) -> None:
        """A bar that stands still says why."""
        if self.last is not None and self.last.id in self.work:
            self.progress.update(self.work[self.last.id], description=f"{_title(self.last)}: {phase}")
        else:
            self.progress.update(self.whole, description=phase)

    def left(self, phase: str, seconds: float) -> None:
        self.progress.update(self.whole, description="cells")
        if seconds >= _WORTH_SAYING:
            self._say(f"{phase}: {seconds:.2f} s")

    def planned(self, cells: tuple[Cell, ...], cached: AbstractSet[str]) -> None:
        self.outlook.planned(cells, cached)
        self.progress.update(self.whole, total=len(cells), completed=len(cached))
        if cached:
            self._say(f"{len(cached)} of {plural(len(cells), 'cell')} in the store already")

    def calibrated(self, calibration: Mapping[str, Any]) -> None:
        for line in _suspicions(calibration):
            self._say(line)

    def started(self, cell: Cell) -> None:
        self.outlook.begun(cell)
        self.last = cell
        self.work[cell.id] = self.progress.add_task(_title(cell), total=cell.n, outlook="")

    def resumed(self, cell: Cell, samples: int) -> None:
        self.outlook.resumed(cell, samples)

    def progressed(self, cell: Cell, samples: int) -> None:
        self.outlook.progressed(cell, samples)
        self.progress.update(self.work[cell.id], completed=samples)
        self._look_ahead()

    def kept(self, cell: Cell) -> None:  # noqa: ARG002
        self.outlook.kept()
        self._look_ahead()

    def finished(self, report: CellReport) -> None:
        self.outlook.finished(report)
        self._say(f"{_title(report.cell)}: {_outcome(report, self.told)}")
        if report.cell.id in self.work:
            self.progress.remove_task(self.work.pop(report.cell.id))
        self.progress.advance(self.whole)
        self._look_ahead()

    def making(self, cell: MadeCell, number: int, total: int) -> None:
        self.last = None
        title = visible(f"{_place(cell, number, total)}: {cell.dataset} · {cell.name}", _NAME)
        self.work[cell.id] = self.progress.add_task(title, total=cell.steps, outlook="")

    def trained(self, cell: MadeCell, steps: int) -> None:
        self.progress.update(self.work[cell.id], completed=steps)

    def made(self, report: MadeReport) -> None:
        self._say(_made(report))
        self.progress.remove_task(self.work.pop(report.cell.id))

    def _look_ahead(self) -> None:
        self.progress.update(self.whole, outlook=str(self.outlook))

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False)


def observer(stream: TextIO | None = None) -> Observer:
    """The observer that fits the stream; null: stderr, as it is now."""
    stream = stream or sys.stderr
    console = Console(file=stream)
    return Bars(console) if console.is_terminal else Lines(stream)
