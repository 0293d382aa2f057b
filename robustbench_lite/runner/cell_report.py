"""What became of a cell: its rows, or the stage at which it failed, the reason and the whole traceback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.guards.foreign import told, trace
from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.conclude import Whole
from robustbench_lite.runner.plan import Cell
from robustbench_lite.text import shortened, storable

__all__ = ["CellReport", "Stage", "Stages"]

Stage = Literal["plan", "load", "inspect", "attack", "judge", "store"]


@dataclass
class Stages:
    """Where a cell is, and the seconds of every stage so far. `said`: is told what a person wants to know meanwhile."""

    said: Callable[[str], None] = lambda _: None
    now: Stage = "load"
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: Stage, doing: str = "") -> Iterator[None]:
        """While this is open the cell is at this stage; what fails fails there."""
        self.now = stage
        if doing:
            self.said(doing)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass
class CellReport:
    """A cell that is finished or has failed: a row for every sample, image and artifact, and what its own row says.

    `described`: columns that were known before it ran; `summary`: what came of it, or why nothing did.
    """

    cell: Cell
    described: Row
    seconds: dict[str, float] = field(default_factory=dict)  # by stage; those of `store` are written nowhere
    summary: Row = field(default_factory=dict)
    samples: pa.Table | None = None
    images: Iterable[pa.Table] = ()
    artifacts: list[Row] = field(default_factory=list)
    whole: bool = True  # false: shards of it are missing still, which others attack

    def finish(self, whole: Whole) -> None:
        """It is finished, and this is all of it."""
        self.summary, self.samples, self.images = whole.row, whole.samples, whole.images
        self.artifacts = whole.artifacts or self.artifacts

    @property
    def row(self) -> Row:
        """The cell's own row."""
        stages = {stage: round(seconds, 6) for stage, seconds in self.seconds.items()}
        return self.described | {"seconds_stages": canonical(stages)} | self.summary

    @property
    def failed(self) -> bool:
        return bool(self.row["status"] != "ok")

    @property
    def stage(self) -> Stage | None:
        """Where it failed; None: it did not."""
        stage: Stage | None = self.row["stage"]
        return stage

    def rows(self) -> list[Row]:
        """A row for every sample and classifier; none where it has failed."""
        return [] if self.samples is None else list(self.samples.to_pylist())

    def share(self, column: str) -> float:
        """Of how many of these rows a column of flags is true."""
        flags: list[bool] = [] if self.samples is None else self.samples[column].to_pylist()
        return sum(flags) / max(1, len(flags))

    def failure(self, error: BaseException, stage: Stage) -> CellReport:
        """The same cell as one that has failed at this stage: a sentence and the whole traceback, and no numbers."""
        if isinstance(error, RobustbenchError):
            text = storable(shortened(str(error)))
            at, traceback = error.stage or stage, error.traceback or trace(error)
        else:
            at, text, traceback = stage, f"{self.cell.source}: {told(error)}", trace(error)
        columns = {"status": "failed", "error": text, "stage": at, "traceback": traceback}
        return CellReport(self.cell, self.described, self.seconds, columns)
