"""Running a suite and reading results, for programs and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.api.view import PlotView, TableView
from robustbench_lite.errors import UsageError
from robustbench_lite.figures.paper import COLUMN, picture
from robustbench_lite.results.sealed import write_text
from robustbench_lite.results.store import Results as Stored
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import run as run_stored
from robustbench_lite.suite.builder import Suite
from robustbench_lite.tables.base import tables
from robustbench_lite.text import plural

__all__ = ["Results", "load", "run"]


@dataclass(frozen=True, repr=False)
class Results(Stored):
    """What is stored in one folder: `samples()`, `cells()` and tables as pandas DataFrames, a page to look at.

    `problems` names every file that could not be read; its cell counts as failed, or is absent.
    """

    def table(self, name: str) -> TableView:
        """The table `name`, such as accuracy or rho_adv; `list tables` has all. Raises UsageError for another."""
        return TableView(tables.make(name, self))

    def plot(
        self, name: str, path: str | Path | None = None, *, width: float = COLUMN, trust: bool = False, **options: Any
    ) -> PlotView:
        """Figure `name`, such as curve or examples, as matplotlib draws it for a paper; `list figures` has all.

        `width` in inches; `path`: written there too, as .pdf, .png or .svg; `options`: parameters of the figure.
        Needs matplotlib (the extra plot). Raises UsageError.
        """
        from robustbench_lite.runner.figure import rows

        record, table = rows(self, name, options, trust=trust)
        view = PlotView(drawing := record.drawing(table), picture(drawing, width))
        if path is not None:
            view.save(path)
        return view

    def report(self, path: str | Path) -> Path:
        """Write the one self-contained HTML page on these results to `path`, and return that."""
        from robustbench_lite.report.page import page

        path = Path(path)
        try:
            write_text(path, page([self]))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
        return path

    def __repr__(self) -> str:
        failed = sum(status != "ok" for status in self.cell_table["status"].to_pylist())
        cells, rows = len(self.cell_table), len(self.sample_table)
        parts = [plural(cells, "cell"), f"{plural(rows, 'row')} of samples"]
        failed += sum(row["status"] != "ok" for row in self.made())
        made, layers = len(self.generator_table), len(self.sparse_coding_table)
        parts += [plural(made, "generator")] if made else []
        parts += [f"{plural(layers, 'row')} of sparse coding"] if layers else []
        parts += [f"{failed} FAILED"] if failed else []
        parts += [plural(len(self.problems), "problem")] if self.problems else []
        return f"<Results {self.folder}: {', '.join(parts)}>"


def load(folder: str | Path) -> Results:
    """The results in `folder`. Raises NoResultsError where there are none, StoreError where they cannot be read."""
    return _of(read(folder))


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    results: str | Path = "results",
    *,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Results:
    """Run a suite (a file, the name of one that is shipped, or its content as a mapping) and return its Results.

    They go to the folder of the suite's name in `results`; what is there already is not run again. `models`: modules
    in memory by name, or mappings {"module": net, "expectation": 20, "backward": stand_in}
    (docs/models.md); `data`: pairs (images, labels), beside those that the suite names, if any. `options`: device,
    batch_size, limit, fresh, timing, cell_timeout (docs/suites.md). Raises SuiteError for an invalid suite; failed
    cells do not raise: they are rows of `cells()` with a reason.
    """
    return _of(run_stored(suite, results, models=models, data=data, **options))


def _of(stored: Stored) -> Results:
    """The same with tables and a page."""
    return Results(**vars(stored))
