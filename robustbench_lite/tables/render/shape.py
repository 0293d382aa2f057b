"""Tables from tables: chosen columns, no intervals, rows as columns; and which columns say the same in every row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.tables.base import Column, Row, Table, Value
from robustbench_lite.tables.render.shown import parts, shown, titled

__all__ = ["chosen", "constant", "constants", "transposed", "with_best", "without", "without_intervals"]

_BLANK = Value("", kind="label")


def chosen(table: Table, keys: Sequence[str]) -> Table:
    """These columns in this order; headings and the names of the rows stay. Raises UsageError for an unknown one."""
    known = {column.key: column for column in table.columns}
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known)
            raise UsageError(f"table {table.name} has no column '{key}'{hint}")
    named = [known[key] for key in dict.fromkeys(keys)]
    return _only(table, [*(column for column in _labels(table) if column not in named), *named])


def _labels(table: Table) -> list[Column]:
    """The headings, and the first column of names."""
    first = next((column for column in table.columns if not column.group and not column.numeric), None)
    return [column for column in table.columns if column.group or column is first]


def _only(table: Table, columns: Sequence[Column]) -> Table:
    rows = tuple({column.key: row[column.key] for column in columns} for row in table.rows)
    return replace(table, columns=tuple(columns), rows=rows)


def without(table: Table, columns: Sequence[Column]) -> Table:
    """The table without these of its columns."""
    return _only(table, [column for column in table.columns if column not in columns])


def without_intervals(table: Table) -> Table:
    """Numbers alone, for programs too."""
    columns = tuple(replace(column, title=column.title.partition(" [")[0], interval=False) for column in table.columns)
    rows = tuple({key: _plain(value) for key, value in row.items()} for row in table.rows)
    return replace(table, columns=columns, rows=rows)


def _plain(value: Value) -> Value:
    if value.low is None:
        return value
    return replace(value, text=value.text.partition(" [")[0], low=None, high=None)


def with_best(table: Table) -> Table:
    """The best numbers of ours under each heading marked, in columns where more or less is better."""
    marked: list[Row] = []
    for _, rows in parts(table):
        best = {column.key: _best(column, [row[column.key] for row in rows]) for column in table.columns}
        marked += [{key: _marked(value, best[key]) for key, value in row.items()} for row in rows]
    return replace(table, rows=tuple(marked))


def _best(column: Column, values: Sequence[Value]) -> float | None:
    """The best number; None where nothing is better than anything else."""
    found = [value.value for value in values if _counts(value) and value.value is not None]
    if not column.better or len(set(found)) < 2:
        return None
    return max(found) if column.better == "higher" else min(found)


def _counts(value: Value) -> bool:
    return value.kind in {"measured", "derived"} and value.value is not None and math.isfinite(value.value)


def _marked(value: Value, best: float | None) -> Value:
    return replace(value, best=True) if best is not None and _counts(value) and value.value == best else value


def transposed(table: Table) -> Table:
    """Under each heading a row for every column and a column for every row; a name that occurs twice is numbered."""
    table = with_best(table)
    heads = [column for column in table.columns if column.group]
    labels = [column for column in _labels(table) if column not in heads]
    others = [column for column in table.columns if column not in (*heads, *labels)]
    blocks = [_named(rows, labels) for rows in _numbered(table)]
    names = {name: f"row{i}" for i, name in enumerate(dict.fromkeys(name for block in blocks for name in block), 1)}
    body = [
        {head.key: next(iter(block.values()))[head.key] for head in heads}
        | {"column": Value(titled(other), kind="label")}
        | {key: block[name][other.key] if name in block else _BLANK for name, key in names.items()}
        for block in blocks
        for other in others
    ]
    numeric, interval = (any(getattr(other, of) for other in others) for of in ("numeric", "interval"))
    own = [Column(key, name, numeric=numeric, interval=interval, named=True) for name, key in names.items()]
    return replace(table, columns=(*heads, Column("column", "", numeric=False), *own), rows=tuple(body))


def _numbered(table: Table) -> Iterator[dict[int, Row]]:
    """The rows under each heading by their numbers in the table."""
    number = count(1)
    for _, rows in parts(table):
        yield {next(number): row for row in rows}


def _named(rows: Mapping[int, Row], labels: Sequence[Column]) -> dict[str, Row]:
    """These rows by their names."""
    block: dict[str, Row] = {}
    times: Counter[str] = Counter()
    for i, row in rows.items():
        name = " ".join(shown(row[column.key], column) for column in labels) or f"row {i}"
        times[name] += 1
        block[name if times[name] == 1 else f"{name} #{times[name]}"] = row
    return block


def constants(table: Table, *, headings: bool = False) -> list[Column]:
    """Columns that describe rather than answer, and say the same in every row, or nothing at all.

    What a published row leaves open does not count. `headings`: they too, where they are columns like others.
    """
    if len(table.rows) < 2:
        return []
    labels = [column for column in _labels(table) if not (headings and column.group)]
    others = [column for column in table.columns if column not in labels]
    return [column for column in others if _says_nothing_new(column, [row[column.key] for row in table.rows])]


def constant(table: Table, column: Column) -> str:
    """What such a column says; empty: nothing."""
    return next((row[column.key].text for row in table.rows if row[column.key].text), "")


def _says_nothing_new(column: Column, values: Sequence[Value]) -> bool:
    if any(value.mark for value in values):
        return False
    said = {(value.text, value.note) for value in values if value.text or value.kind != "published"}
    describes = not column.interval and (not column.numeric or column.priority > 1)
    return len(said) <= 1 if describes else not any(value.text for value in values)
