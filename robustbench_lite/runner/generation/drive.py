"""The generators of a suite: skip what is in the store, make the rest one after another, keep each as it is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import Row
from robustbench_lite.results.store import Store
from robustbench_lite.runner.generation.cell import GeneratorCell
from robustbench_lite.runner.generation.make import made
from robustbench_lite.runner.generation.report import GeneratorReport
from robustbench_lite.runner.observer import Observer

__all__ = ["Generation"]

_FOLDER = "trainings"  # of those that are not finished


@dataclass(frozen=True)
class Generation:
    """The cells of a suite that make generators, and where they are kept."""

    cells: tuple[GeneratorCell, ...]
    store: Store
    root: Path
    device: torch.device
    timeout: float | None = None

    def resumed(self) -> set[str]:
        """Ids of what is in the store already, under the names that the suite uses now."""
        stored = self.store.generators()
        for cell in self.cells:
            if (row := stored.get(cell.id)) is not None:
                now = {"suite": cell.suite, "name": cell.name, "dataset": cell.dataset}
                if any(row[key] != value for key, value in now.items()):
                    self.store.rename_generator(row | now)
        return {cell.id for cell in self.cells if cell.id in stored}

    def reports(self, due: set[str], told: Observer) -> Iterator[GeneratorReport]:
        """What became of each, kept. Raises StoreError where nothing can be written."""
        here = [cell for cell in self.cells if cell.id in due]
        for number, cell in enumerate(here, 1):
            told.making(cell, number, len(here))
            yield self._kept(made(cell, self._folder(cell.id), self.root, self.device, told, self.timeout))

    def whole(self) -> bool:
        """Whether all are in the store, finished or failed."""
        return all((self.store.folder / "generators" / f"{cell.id}.parquet").is_file() for cell in self.cells)

    def forget(self, but: set[str] | None = None) -> None:
        """Remove what trainings are not finished, but those of these cells."""
        folder = self.store.folder / _FOLDER
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in (but or set()):
                shutil.rmtree(path, ignore_errors=True)

    def _folder(self, cell: str) -> Path:
        return self.store.folder / _FOLDER / cell

    def _kept(self, report: GeneratorReport) -> GeneratorReport:
        """The report as it is in the store; what a finished training left is removed."""
        try:
            self._write(report)
        except (ValueError, TypeError, ArithmeticError, pa.ArrowException) as error:  # the schema does not hold them
            report = report.failure(error, "store")
            report.training, report.generated = list[Row](), list[Row]()
            self._write(report)
        if not report.failed:
            shutil.rmtree(self._folder(report.cell.id), ignore_errors=True)
        return report

    def _write(self, report: GeneratorReport) -> None:
        self.store.write_generator(report.cell.id, report.row, report.training, report.generated)
