"""What a figure is: a record of parameters that computes rows from results and classifiers, and draws them as SVG.

The rows are stored beside the results, so that anybody can draw or analyse them anew. One file each in `figures/`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from robustbench_lite.registry import Config, Records

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results
    from robustbench_lite.runner.assets import Bench
    from robustbench_lite.tables.base import Table

__all__ = ["Figure", "figures"]


class Figure(Config):
    """A figure and its parameters."""

    title: ClassVar[str]

    @abstractmethod
    def compute(self, results: Results, bench: Bench) -> pa.Table:
        """The rows; what a reader must know beside them is in the schema's metadata. Raises UsageError."""

    @abstractmethod
    def draw(self, table: pa.Table) -> str:
        """The rows as one self-contained SVG document."""

    @abstractmethod
    def data(self, table: pa.Table) -> Table:
        """The numbers that a reader takes from the picture, for those who cannot see it."""


figures: Records[Figure] = Records("figure", "robustbench_lite.figures")
