"""What the formats that people read share: what a value says, and rows under their headings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.text import visible

__all__ = ["Part", "body", "parts", "shown", "titled"]

Part = tuple[list[str], list[Row]]  # what a heading says, and the rows below it


def shown(value: Value, column: Column, *, brief: bool = False) -> str:
    """What people read: labels of published rows say so. `brief` leaves the interval out."""
    text = f"{value.text}, published" if value.kind == "published" and not column.numeric else value.text
    text = text.partition(" [")[0] if brief and value.low is not None else text
    return visible(f"{text} {value.mark}" if value.mark else text)


def titled(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def body(table: Table) -> list[Column]:
    """The columns that are not said in headings."""
    return [column for column in table.columns if not column.group]


def parts(table: Table) -> Iterator[Part]:
    """Rows under their heading: the values of the group columns, said once. No group columns: one empty heading."""
    heads = [column for column in table.columns if column.group]
    for values, rows in groupby(table.rows, lambda row: [row[column.key] for column in heads]):
        pairs = zip(values, heads, strict=True)
        yield [_remark(value, column) for value, column in pairs if value.text], list(rows)


def _remark(value: Value, column: Column) -> str:
    return f"{column.title} {visible(value.text)} {column.unit}".rstrip() if column.numeric else visible(value.text)
