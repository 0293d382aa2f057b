"""Markdown tables in which no name is markup."""

from __future__ import annotations

from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.render.shown import body, parts, shown, titled
from robustbench_lite.text import for_markdown

__all__ = ["markdown"]


def markdown(table: Table) -> str:
    columns = body(table)

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def cell(value: Value, column: Column) -> str:
        text = for_markdown(shown(value, column))
        return f"*{text}*" if value.kind == "published" and value.text else text

    lines = [f"**{for_markdown(table.title)}**", "", line([for_markdown(titled(column)) for column in columns])]
    lines.append(line(["---:" if column.numeric else ":---" for column in columns]))
    for heading, rows in parts(table):
        if heading:
            lines.append(line([f"**{for_markdown(' · '.join(heading))}**", *[""] * (len(columns) - 1)]))
        lines += [line([cell(row[column.key], column) for column in columns]) for row in rows]
    return "\n".join([*lines, "", *(f"{for_markdown(note)}\n" for note in table.footnotes)]).rstrip("\n") + "\n"
