"""This process attacks one cell after another."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.execute import Watch, execute
from robustbench_lite.runner.executors.base import Setup
from robustbench_lite.runner.plan import Cell

__all__ = ["Local"]


@dataclass(frozen=True)
class Local:
    """The executor of one process."""

    def check(self, assets: Assets) -> None:
        """Whatever can be loaded here can be run here."""

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        watch = Watch(setup.told.progressed, setup.told.entered)
        for cell in due:
            setup.told.started(cell)
            shards = setup.store.shards(cell.id)
            yield execute(cell, setup.preflight, watch, timing=setup.timing, shards=shards, shard_size=setup.shard_size)
