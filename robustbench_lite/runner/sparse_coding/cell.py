"""From the sparse codings of a suite to cells: ids are hashes of what changes an outcome, names aside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from robustbench_lite.registry import fingerprint
from robustbench_lite.results.made import MADE
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.apart import told_apart
from robustbench_lite.suite.sparse_coding import SparseEntry

if TYPE_CHECKING:
    from robustbench_lite.suite.builder import Suite

__all__ = ["SparseCell", "sparse_cells"]

VERSION = 1  # of drawing, pursuits, adversary and bounds: part of a cell's id


@dataclass(frozen=True)
class SparseCell:
    """One pursuit of one model, set for noise of one local energy, under noise of one."""

    id: str
    suite: str
    entry: SparseEntry
    n: int  # signals

    kind: ClassVar[str] = "sparse_coding"  # of `MADE`
    dataset: ClassVar[str] = MADE["sparse_coding"].word
    steps: ClassVar[int] = 1  # that an observer counts
    error: ClassVar[str] = ""  # there is nothing without which it could not be planned

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def names(self) -> Row:
        """What it is called, which decides no outcome."""
        return {"suite": self.suite, "name": self.name, "model": self.entry.model}

    @property
    def what(self) -> str:
        """What is measured."""
        return f"{self.entry.pursuit} of {self.entry.model}"

    @property
    def facts(self) -> Row:
        """Everything that decides its outcome."""
        one = self.entry
        told = {"version": VERSION, "setup": one.setup.params(), "pursuit": one.pursuit, "iterations": one.iterations}
        return told | {"noise": one.noise, "set_for": one.set_for, "n": self.n, "steps": one.steps, "seed": one.seed}


def sparse_cells(suite: Suite, limit: int | None = None) -> tuple[SparseCell, ...]:
    """A cell for each sparse coding of the suite, of at most `limit` signals; nothing is computed."""
    cells = [
        SparseCell("", suite.name, entry, min(entry.signals, limit or entry.signals)) for entry in suite.sparse_coding
    ]
    ids = told_apart([(fingerprint(cell.facts), cell.name) for cell in cells])
    return tuple(replace(cell, id=own) for cell, own in zip(cells, ids, strict=True))
