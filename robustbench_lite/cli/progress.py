"""What a person sees while a suite runs, on stderr: a live bar on a terminal, one plain line per cell elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from robustbench_lite.results.evaluation import through
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.observer import Observer, Silent
from robustbench_lite.runner.plan import Cell
from robustbench_lite.text import visible

__all__ = ["Bars", "Lines", "observer"]

_WORTH_SAYING = 0.05  # seconds of a phase
_NAME = 400  # characters of a cell's names; a bar has one line


def _outcome(report: CellReport) -> str:
    """One cell's result in a few words."""
    row = report.row
    if not report.whole:
        return "this part of it is stored"
    if report.failed:
        return visible(f"FAILED: {row['error']}")
    broken = report.share("success")
    text = f"{broken:6.1%} succeed, {row['seconds']:.2f} s{_beside(row)}"
    return "; ".join([text, *(visible(f"WARNING: {warning}") for warning in row["warnings"])])


def _beside(row: Row) -> str:
    """What took time beside the attack, where it took any."""
    names = {"seconds_inspect": "inspecting", "seconds_timing": "timing at batch size 1", "seconds_judge": "judging"}
    parts = [f"{text} {row[name]:.2f} s" for name, text in names.items() if (row[name] or 0) >= _WORTH_SAYING]
    return f" ({', '.join(parts)})" if parts else ""


def _title(cell: Cell) -> str:
    seen = through({"sources": list(cell.sources), "models": list(cell.targets), "source": cell.source})
    return visible(f"{cell.dataset} · {seen} · {cell.variant}", _NAME)


def _suspicions(calibration: Mapping[str, Any]) -> list[str]:
    """A sentence for each check of the exact-answer bracket that failed."""
    return [
        visible(f"WARNING: calibration of {name}: {text}") for name, it in calibration.items() for text in it["failed"]
    ]


class Lines(Silent):
    """One plain line per cell, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.total, self.number = stream, 0, 0

    def left(self, phase: str, seconds: float) -> None:
        if seconds >= _WORTH_SAYING:
            print(f"{phase}: {seconds:.2f} s", file=self.stream, flush=True)

    def planned(self, cells: tuple[Cell, ...], cached: int) -> None:
        self.total, self.number = len(cells), cached
        print(f"{len(cells)} cells, {cached} already in the store", file=self.stream, flush=True)

    def calibrated(self, calibration: Mapping[str, Any]) -> None:
        for line in _suspicions(calibration):
            print(line, file=self.stream, flush=True)

    def finished(self, report: CellReport) -> None:
        self.number += 1
        line = f"[{self.number}/{self.total}] {_title(report.cell)}: {_outcome(report)}"
        print(line, file=self.stream, flush=True)


class Bars(Silent):
    """A bar for the whole run and one for the cell at work, with what is left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("cells", total=None)
        self.cell = self.progress.add_task("", total=None, visible=False)
        self.title = ""  # of the cell at work

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def entered(self, phase: str) -> None:
        """A bar that stands still says why."""
        which, text = (self.cell, f"{self.title}: {phase}") if self.title else (self.whole, phase)
        self.progress.update(which, description=text)

    def left(self, phase: str, seconds: float) -> None:
        self.progress.update(self.whole, description="cells")
        if seconds >= _WORTH_SAYING:
            self.console.print(f"{phase}: {seconds:.2f} s", markup=False, highlight=False)

    def planned(self, cells: tuple[Cell, ...], cached: int) -> None:
        self.progress.update(self.whole, total=len(cells), completed=cached)
        if cached:
            self.console.print(f"{cached} of {len(cells)} cells are in the store already", markup=False)

    def calibrated(self, calibration: Mapping[str, Any]) -> None:
        for line in _suspicions(calibration):
            self.console.print(line, markup=False, highlight=False)

    def started(self, cell: Cell) -> None:
        self.title = _title(cell)
        self.progress.reset(self.cell, total=cell.n, description=self.title, visible=True)
        self.since = time.monotonic()

    def progressed(self, samples: int) -> None:
        self.progress.update(self.cell, completed=samples)

    def finished(self, report: CellReport) -> None:
        self.console.print(f"{_title(report.cell)}: {_outcome(report)}", markup=False, highlight=False)
        self.progress.advance(self.whole)
        self.progress.update(self.cell, visible=False)
        self.title = ""


def observer(stream: TextIO | None = None) -> Observer:
    """The observer that fits the stream; null: stderr, as it is now."""
    stream = stream or sys.stderr
    console = Console(file=stream)
    return Bars(console) if console.is_terminal else Lines(stream)
