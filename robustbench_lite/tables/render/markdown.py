"""Markdown tables in which no name is markup."""

from __future__ import annotations

import re

from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.render.common import body, parts, shown, titled
from robustbench_lite.text import visible

__all__ = ["markdown", "markdown_text"]


def markdown_text(text: str) -> str:
    """No markup, no HTML, no mention of a user."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_\[\]|~]|#(?!64;))", r"\\\1", plain)


def markdown(table: Table) -> str:
    columns, escape = body(table), markdown_text

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def cell(value: Value, column: Column) -> str:
        text = escape(shown(value, column))
        return f"*{text}*" if value.kind == "published" and value.text else text

    lines = [f"**{escape(visible(table.title))}**", "", line([escape(title) for title in map(titled, columns)])]
    lines.append(line(["---:" if column.numeric else ":---" for column in columns]))
    for heading, rows in parts(table):
        if heading:
            lines.append(line([f"**{escape(' · '.join(heading))}**", *[""] * (len(columns) - 1)]))
        lines += [line([cell(*pair) for pair in zip(row, columns, strict=True)]) for row in rows]
    return "\n".join([*lines, "", *(f"{escape(visible(note))}\n" for note in table.footnotes)]).rstrip("\n") + "\n"
