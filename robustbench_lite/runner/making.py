"""The cells of a suite that attack nothing: skip what is stored, make the rest one by one, keep each as it is done."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite.lazy import torch
from robustbench_lite.results.made import MADE
from robustbench_lite.results.store import Store
from robustbench_lite.runner.generation.cell import GeneratorCell, generator_cells
from robustbench_lite.runner.generation.makers import Maker, Makers
from robustbench_lite.runner.made import MadeCell, MadeReport
from robustbench_lite.runner.observer import Observer
from robustbench_lite.runner.sizes import Share
from robustbench_lite.runner.sparse_coding.cell import SparseCell, sparse_cells
from robustbench_lite.runner.sparse_coding.measure import measured
from robustbench_lite.suite.builder import Suite

__all__ = ["Making", "made_cells"]

_FOLDER = "trainings"  # of those that are not finished


def made_cells(suite: Suite, limit: int | None = None) -> tuple[MadeCell, ...]:
    """All of a suite, nothing computed yet. Raises UsageError for a limit that is too small."""
    return (*generator_cells(suite, limit), *sparse_cells(suite, limit))


@dataclass(frozen=True)
class Making:
    """The cells of a suite that attack nothing, and where they are kept."""

    cells: tuple[MadeCell, ...]
    store: Store
    root: Path
    device: torch.device
    timeout: float | None = None

    def record(self) -> dict[str, Any]:
        """What run.json says of them; nothing of a kind that the suite lacks."""
        said: dict[str, Any] = {}
        for key, kind in MADE.items():
            if own := [cell for cell in self.cells if cell.kind == key]:
                said |= {key: [cell.name for cell in own], kind.planned: [cell.id for cell in own]}
        return said

    def share(self, share: Share) -> set[str]:
        """Ids of those that a shard makes: every N-th of a kind."""
        kinds = ([cell.id for cell in self.cells if cell.kind == key] for key in MADE)
        return {cell for own in kinds for cell in own[share.number :: share.parts]}

    def resumed(self) -> set[str]:
        """Ids of what is in the store already, under the names that the suite uses now."""
        stored = {key: self.store.made(key) for key in {cell.kind for cell in self.cells}}
        for cell in self.cells:
            rows, now = stored[cell.kind].get(cell.id, []), cell.names
            if any(row[key] != value for row in rows for key, value in now.items()):
                self.store.rename_made(cell.kind, [row | now for row in rows])
        return {cell.id for cell in self.cells if cell.id in stored[cell.kind]}

    def reports(self, due: set[str], told: Observer, jobs: int = 1) -> Generator[MadeReport]:
        """What became of each, kept. Raises StoreError where nothing can be written."""
        here = [cell for cell in self.cells if cell.id in due]
        many = jobs > 1 and len(here) > 1
        with closing(self._several(here, told, jobs) if many else self._one_by_one(here, told)) as reports:
            for report in reports:
                yield self._kept(report)

    def _one_by_one(self, here: Sequence[MadeCell], told: Observer) -> Generator[MadeReport]:
        for number, cell in enumerate(here, 1):
            told.making(cell, number, len(here))
            yield measured(cell, self.timeout) if isinstance(cell, SparseCell) else self._maker.make(cell, told)

    def _several(self, here: Sequence[MadeCell], told: Observer, jobs: int) -> Generator[MadeReport]:
        """By so many processes: generators alone."""
        cells = [cell for cell in here if isinstance(cell, GeneratorCell)]
        yield from Makers(self._maker, jobs, told).reports(cells)

    @property
    def _maker(self) -> Maker:
        return Maker((self.store.folder / _FOLDER).resolve(), self.root, self.device, self.timeout)

    def whole(self) -> bool:
        """Whether all are in the store, finished or failed."""
        return all(self.store.has_made(cell.kind, cell.id) for cell in self.cells)

    def forget(self, but: set[str] | None = None) -> None:
        """Remove what trainings are not finished, but those of these cells."""
        folder = self.store.folder / _FOLDER
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in (but or set()):
                shutil.rmtree(path, ignore_errors=True)

    def _kept(self, report: MadeReport) -> MadeReport:
        """The report as it is in the store; what a finished training left is removed."""
        try:
            self.store.write_made(report.cell.id, report.contents)
        except (ValueError, TypeError, ArithmeticError, pa.ArrowException) as error:  # the schema does not hold them
            report = report.failure(error, "store")
            self.store.write_made(report.cell.id, report.contents)
        if not report.failed:
            shutil.rmtree(self.store.folder / _FOLDER / report.cell.id, ignore_errors=True)
        return report
