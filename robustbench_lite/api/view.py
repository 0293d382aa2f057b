"""A table and a figure that show themselves: a pandas DataFrame and a matplotlib Figure underneath."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.figures.paper import FORMATS, written
from robustbench_lite.results.sealed import write_bytes
from robustbench_lite.tables.base import Column, Row, Table
from robustbench_lite.tables.render import render
from robustbench_lite.tables.render.html import html

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

__all__ = ["PlotView", "TableView"]

_PARTS = ("low", "high", "n")  # of a number with an interval, beside its value


@dataclass(frozen=True, repr=False)
class TableView:
    """One table of results. What it does not know itself it asks its `frame`: `view["rho"]`, `view.columns`."""

    table: Table

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Numbers as numbers, one column each, and `_low`, `_high` and `_n` where there is an interval."""
        import pandas as pd

        return pd.DataFrame([_record(self.table.columns, row) for row in self.table.rows])

    def to_pandas(self) -> pd.DataFrame:
        """A copy of `frame`."""
        return self.frame.copy()

    def to_text(self, width: int | None = None) -> str:
        """As a terminal of that width shows it."""
        return render(self.table, "text", width)

    def to_markdown(self) -> str:
        return render(self.table, "markdown")

    def to_latex(self) -> str:
        return render(self.table, "latex")

    def to_csv(self) -> str:
        return render(self.table, "csv")

    def to_json(self) -> str:
        return render(self.table, "json")

    def __repr__(self) -> str:
        return self.to_text().rstrip("\n")

    def _repr_html_(self) -> str:
        return html(self.table)

    def __len__(self) -> int:
        return len(self.table.rows)

    def __getitem__(self, key: Any) -> Any:
        return self.frame[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and pickling ask for some before there is a table
            raise AttributeError(name)
        return getattr(self.frame, name)


@dataclass(frozen=True, repr=False)
class PlotView:
    """One figure. `figure` and `axes` are matplotlib's, to be changed at will before `save`."""

    drawing: Drawing
    figure: Picture

    @property
    def axes(self) -> list[Axes]:
        return list(self.figure.axes)

    def save(self, path: str | Path) -> Path:
        """Write it as .pdf, .png or .svg, and return the path. Raises UsageError."""
        path = Path(path)
        if path.suffix not in FORMATS:
            raise UsageError(f"{path}: expected a figure as {', '.join(FORMATS)}, got '{path.suffix}'")
        try:
            write_bytes(path, written(self.drawing, self.figure, path.suffix))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None
        return path

    def __repr__(self) -> str:
        return f"<PlotView {self.drawing.title}: {self.drawing.says}>"

    def _repr_png_(self) -> bytes:
        return written(self.drawing, self.figure, ".png")


def _record(columns: tuple[Column, ...], row: Row) -> dict[str, Any]:
    """The fields of one row."""
    out: dict[str, Any] = {}
    for column in columns:
        value = row[column.key]
        out[column.key] = value.value if column.numeric else value.text
        if column.numeric and column.interval:
            out |= {f"{column.key}_{part}": getattr(value, part) for part in _PARTS}
    return out
