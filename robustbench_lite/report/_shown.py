"""Tables and charts as the template wants them, and which part of a site a page is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from robustbench_lite.report.strength import Drawn
from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.tables.render import constant, constants, render, without
from robustbench_lite.text import for_attribute, for_html

__all__ = ["View", "chart", "table"]

_STYLES = ("markdown", "latex", "csv")
_COPIED = 500  # rows
_LONG, _PROSE = 28, 80  # characters: what may be folded, and what is a sentence


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
    many = len(table.rows) > _COPIED
    return {
        "name": table.name,
        "title": table.title,
        "same": ", ".join(f"{column.title} {text} {column.unit}".rstrip() for column, text in said if text),
        "columns": lean.columns,
        "rows": list(_rows(table, lean.columns, shown)),
        "footnotes": table.footnotes,
        "copies": {} if view.rows or many else {style: render(table, style) for style in _STYLES},
        "cut": list(_cut(table, len(shown), many=many)),
    }


def _cut(table: Table, shown: int, *, many: bool) -> Iterator[str]:
    """What is not here, and which verb has it."""
    if shown < len(table.rows):
        yield f"the first {shown} of {len(table.rows)} rows; the verb table prints all"
    elif many:
        yield f"{len(table.rows)} rows are too many to copy from a page; the verb table writes them in every format"


def _rows(table: Table, columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[tuple[Markup, bool]]:
    """The cells of each row, and whether the row is published. As markup: templates are slow at so many."""
    kinds = [(column.key, column.numeric, _kind(column, rows)) for column in columns]
    for row in rows:
        cells = "".join(_cell(row[key], kind, numeric=numeric) for key, numeric, kind in kinds)
        yield Markup(cells), _published(table, row)  # noqa: S704  (escaped in `_cell`)


def _cell(value: Value, kind: str, *, numeric: bool) -> str:
    text = for_html(value.text)
    if value.note:
        said = for_attribute(f"{value.text}: {value.note}")
        text = (
            f'<button type="button" class="noted" title={for_attribute(value.note)} aria-label={said}>{text}</button>'
        )
    if value.kind == "published" and not numeric:
        text += " <small>published</small>"
    mark = f" <sup>{for_html(value.mark)}</sup>" if value.mark else ""
    sorted_by = "" if value.value is None else f' data-value="{value.value}"'
    return f"<td{kind}{sorted_by}>{text}{mark}</td>"


def _kind(column: Column, rows: Sequence[Row]) -> str:
    """The attribute by which the style sheet sets a column: numbers to the right, words by how many they are."""
    if column.numeric:
        return ' class="number"'
    longest = max((len(row[column.key].text) for row in rows), default=0)
    return ' class="prose"' if longest > _PROSE else ' class="long"' if longest > _LONG else ""


def _published(table: Table, row: Row) -> bool:
    """Whether a row is the paper's: columns that head a group may be published in our rows too."""
    return any(row[column.key].kind == "published" for column in table.columns if not column.group)
