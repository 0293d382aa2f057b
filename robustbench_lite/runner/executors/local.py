"""This process attacks one cell after another."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.execute import Watch, execute
from robustbench_lite.runner.executors.base import Setup, begin
from robustbench_lite.runner.observer import Observer
from robustbench_lite.runner.plan import Cell

__all__ = ["Local"]


@dataclass(frozen=True)
class Local:
    """The executor of one process."""

    def check(self, assets: Assets, folder: Path) -> None:
        """Whatever can be loaded here can be run here."""

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        for cell in due:
            shards, share = setup.store.shards(cell.id), setup.share_of(cell)
            begin(cell, shards, setup.told)
            timing, size, watch = setup.timing and share.number == 0, setup.shard_size, _watch(cell, setup.told)
            yield execute(cell, setup.preflight, watch, timing=timing, shards=shards, shard_size=size, share=share)


def _watch(cell: Cell, told: Observer) -> Watch:
    return Watch(partial(told.progressed, cell), told.entered, partial(told.kept, cell))
