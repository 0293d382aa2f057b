"""Tables and charts as the template wants them, and which part of a site a page is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from robustbench_lite.report.strength import Drawn
from robustbench_lite.tables.base import Row, Table
from robustbench_lite.tables.render import constant, constants, render, without

__all__ = ["View", "chart", "table"]


@dataclass(frozen=True)
class View:
    """What a page shows of a run, and where the rest lies; by default it is all here."""

    sections: frozenset[str] = frozenset()  # empty: all
    places: Mapping[str, str] = field(default_factory=dict)  # of sections that lie on other pages
    home: str = ""  # the first page of the site
    rows: int = 0  # of a table; 0: all, with texts to copy
    bytes: int = 0  # of pictures; 0: as many as a page has
    model: str = ""  # whose cells are shown
    runs: tuple[str, ...] = ()  # where each run has its pages; empty: here
    sheets: Mapping[tuple[int, str], str] = field(default_factory=dict)  # of a run and classifier where its cells are

    def run(self, place: int) -> str:
        """Where a run has its first page; empty: here."""
        return self.runs[place] if self.runs else ""

    def cell(self, run: int, model: str, cell: str) -> str:
        """Where a cell is shown, or at least its run."""
        page = self.sheets.get((run, model))
        return f"{page}#cell-{cell}" if page else f"#run{run + 1}-answer"

    def has(self, section: str) -> bool:
        return not self.sections or section in self.sections


def chart(found: Drawn, view: View) -> dict[str, Any]:
    """A chart as the template wants it."""
    return {
        "title": found.title,
        "says": found.says,
        "chart": Markup(found.chart),  # noqa: S704  (our own SVG, names escaped)
        "legend": found.legend,
        "table": table(found.table, view),
    }


def table(table: Table, view: View) -> dict[str, Any]:
    """A table as the template wants it, with the texts that its copy buttons give. What never changes is said once."""
    fixed = constants(table, headings=True)
    said = [(column, constant(table, column)) for column in fixed]
    lean = without(table, fixed)
    shown = table.rows[: view.rows] if view.rows else table.rows
    cut = len(table.rows) - len(shown)
    return {
        "name": table.name,
        "title": table.title,
        "same": ", ".join(f"{column.title} {text} {column.unit}".rstrip() for column, text in said if text),
        "columns": lean.columns,
        "rows": [([row[c.key] for c in lean.columns], _published(table, row)) for row in shown],
        "footnotes": table.footnotes,
        "copies": {} if view.rows else {style: render(table, style) for style in ("markdown", "latex", "csv")},
        "cut": f"the first {len(shown)} of {len(table.rows)} rows; `table` prints all" if cut else "",
    }


def _published(table: Table, row: Row) -> bool:
    """Whether a row is the paper's: columns that head a group may be published in our rows too."""
    return any(row[column.key].kind == "published" for column in table.columns if not column.group)
