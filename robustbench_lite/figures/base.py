"""What a figure is: a record of parameters that computes rows from results and classifiers, and says what is drawn.

The rows are stored beside the results, so that anybody can draw or analyse them anew. One file each in `figures/`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

import pyarrow as pa

from robustbench_lite.figures._page import as_svg
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.registry import Config, Records

if TYPE_CHECKING:
    from robustbench_lite.datasets.base import Samples
    from robustbench_lite.engine.attack import Attack
    from robustbench_lite.engine.inspection import Scorer
    from robustbench_lite.lazy import torch
    from robustbench_lite.results.store import Results
    from robustbench_lite.tables.base import Table

__all__ = ["Assets", "Figure", "figures"]


class Assets(Protocol):
    """What a figure may ask for beside the results: the suite's classifiers and data, loaded, and its attacks."""

    @property
    def name(self) -> str:
        """What the suite is called."""
        ...

    @property
    def seed(self) -> int: ...

    @property
    def models(self) -> tuple[str, ...]:
        """What the classifiers are called."""
        ...

    @property
    def data(self) -> tuple[str, ...]:
        """What the datasets are called."""
        ...

    @property
    def attacks(self) -> Mapping[str, Attack]:
        """The attacks by what tables call them."""
        ...

    def samples(self, name: str) -> Samples:
        """The samples of a dataset. Raises DataError."""
        ...

    def scorer(self, name: str, x: torch.Tensor) -> Scorer:
        """A classifier, on its device, ready to be asked about images like x (N, C, H, W). Raises ModelError."""
        ...


class Figure(Config):
    """A figure and its parameters."""

    title: ClassVar[str]

    @abstractmethod
    def compute(self, results: Results, assets: Assets) -> pa.Table:
        """The rows; what a reader must know beside them is in the schema's metadata. Raises UsageError."""

    @abstractmethod
    def drawing(self, table: pa.Table) -> Drawing:
        """What the rows show, for whoever draws it: a page as SVG (`draw`), matplotlib for a paper (`paper`)."""

    def draw(self, table: pa.Table) -> str:
        """The rows as one self-contained SVG document, as a page shows it."""
        return as_svg(self.drawing(table))

    @abstractmethod
    def data(self, table: pa.Table) -> Table:
        """The numbers that a reader takes from the picture, for those who cannot see it."""


figures: Records[Figure] = Records("figure", "robustbench_lite.figures")
