"""Cells that attack nothing, and what becomes of them, whatever their kind."""

from __future__ import annotations

from robustbench_lite.runner.generation.cell import GeneratorCell
from robustbench_lite.runner.generation.report import GeneratorReport
from robustbench_lite.runner.sparse_coding.cell import SparseCell
from robustbench_lite.runner.sparse_coding.report import SparseReport

__all__ = ["MadeCell", "MadeReport"]

MadeCell = GeneratorCell | SparseCell
MadeReport = GeneratorReport | SparseReport
