"""A table as HTML for a notebook: no scripts, and no styles that reach beyond it."""

from __future__ import annotations

from robustbench_lite.tables.base import Column, Row, Table
from robustbench_lite.tables.render.shown import body, parts, shown, titled
from robustbench_lite.text import for_attribute, for_html

__all__ = ["html"]


def html(table: Table) -> str:
    """The table with its title above, its headings as rows, and its footnotes below."""
    columns = body(table)
    head = "".join(f"<th{_side(column)}>{for_html(titled(column))}</th>" for column in columns)
    lines = ["<table>", f"<caption>{for_html(table.title)}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for heading, rows in parts(table):
        if heading:
            lines.append(f'<tr><th colspan="{len(columns)}"{_LEFT}>{for_html(" · ".join(heading))}</th></tr>')
        lines += [f"<tr>{''.join(_cell(row, column) for column in columns)}</tr>" for row in rows]
    lines += ["</tbody>", "</table>", *(f"<p><small>{for_html(note)}</small></p>" for note in table.footnotes)]
    return "\n".join(lines) + "\n"


_LEFT = ' style="text-align: left"'


def _side(column: Column) -> str:
    return "" if column.numeric else _LEFT  # numbers stand at the right in a notebook by themselves


def _cell(row: Row, column: Column) -> str:
    value = row[column.key]
    note = f" title={for_attribute(value.note)}" if value.note else ""
    text = for_html(shown(value, column))
    return f"<td{_side(column)}{note}>{f'<i>{text}</i>' if value.kind == 'published' else text}</td>"
