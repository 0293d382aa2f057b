"""Several runs at work on one results folder, each on its part of the suite, as the tasks of a cluster's array are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.conclude import joined
from robustbench_lite.runner.executors import apart
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.sizes import Share

__all__ = ["kept_together", "own"]


def own(cells: Sequence[Cell], assets: Assets, share: Share) -> set[str]:
    """Ids of the cells that this run has a part in: those that can be taken apart, and of the others every N-th."""
    others = [cell for cell in cells if cell.error or not apart(cell, assets)]
    left = {cell.id for place, cell in enumerate(others) if place % share.parts != share.number}
    return {cell.id for cell in cells} - left


def kept_together(report: CellReport, store: Store, keep: Callable[[CellReport, Store], CellReport]) -> CellReport:
    """The report of this run's part, kept: whoever does the last part of a cell puts it together.

    A part that has failed makes a failed cell of it, until it is done again.
    """
    with store.alone():
        if store.has_finished(report.cell.id):
            return report
        whole = None if report.failed else joined(store.shards(report.cell.id))
        if whole is not None:
            report.whole = True
            report.finish(whole)
        return keep(report, store) if report.failed or report.whole else report
