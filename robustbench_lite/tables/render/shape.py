"""Tables from tables: chosen columns, no intervals, rows as columns; and which columns say the same in every row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.render.common import parts, shown, titled

__all__ = ["chosen", "constants", "transposed", "with_best", "without", "without_intervals"]

_BLANK = Value("", kind="label")


def chosen(table: Table, keys: Sequence[str]) -> Table:
    """These columns in this order; headings and the names of the rows stay. Raises UsageError for an unknown one."""
    known = {column.key: i for i, column in enumerate(table.columns)}
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known)
            raise UsageError(f"table {table.name} has no column '{key}'{hint}")
    named = [known[key] for key in dict.fromkeys(keys)]
    rest = [i for i in _labels(table) if i not in named]
    return _only(table, [*rest, *named])


def _labels(table: Table) -> list[int]:
    """The headings, and the first column of names."""
    first = next((i for i, column in enumerate(table.columns) if not column.group and not column.numeric), None)
    return [i for i, column in enumerate(table.columns) if column.group or i == first]


def _only(table: Table, places: Sequence[int]) -> Table:
    columns = tuple(table.columns[i] for i in places)
    return replace(table, columns=columns, rows=tuple(tuple(row[i] for i in places) for row in table.rows))


def without(table: Table, places: Sequence[int]) -> Table:
    """The table without the columns at these places."""
    return _only(table, [i for i in range(len(table.columns)) if i not in places])


def without_intervals(table: Table) -> Table:
    """Numbers alone, for programs too."""
    columns = tuple(replace(column, title=column.title.partition(" [")[0], interval=False) for column in table.columns)
    rows = tuple(tuple(_plain(value) for value in row) for row in table.rows)
    return replace(table, columns=columns, rows=rows)


def _plain(value: Value) -> Value:
    if value.low is None:
        return value
    return replace(value, text=value.text.partition(" [")[0], low=None, high=None)


def with_best(table: Table) -> Table:
    """The best numbers of ours under each heading marked, in columns where more or less is better."""
    marked: list[tuple[Value, ...]] = []
    for _, rows in parts(_with_place(table)):
        own = [table.rows[int(row[-1].text)] for row in rows]
        best = [_best(column, [row[i] for row in own]) for i, column in enumerate(table.columns)]
        marked += [tuple(_marked(*pair) for pair in zip(row, best, strict=True)) for row in own]
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
    heads = _groups(table)
    labels = [i for i in _labels(table) if i not in heads]
    others = [i for i in range(len(table.columns)) if i not in (*heads, *labels)]
    blocks = [_named(table, [int(row[-1].text) for row in rows], labels) for _, rows in parts(_with_place(table))]
    names = dict.fromkeys(name for block in blocks for name in block)
    body = [
        (
            *(table.rows[next(iter(block.values()))][i] for i in heads),
            Value(titled(table.columns[j]), kind="label"),
            *(table.rows[block[name]][j] if name in block else _BLANK for name in names),
        )
        for block in blocks
        for j in others
    ]
    numeric, interval = (any(getattr(table.columns[j], of) for j in others) for of in ("numeric", "interval"))
    own = [Column(f"row{i}", name, numeric=numeric, interval=interval, named=True) for i, name in enumerate(names, 1)]
    kept = [table.columns[i] for i in heads]
    return replace(table, columns=(*kept, Column("column", "", numeric=False), *own), rows=tuple(body))


def _named(table: Table, places: Sequence[int], labels: Sequence[int]) -> dict[str, int]:
    """The places of these rows by their names."""
    block: dict[str, int] = {}
    times: Counter[str] = Counter()
    for place in places:
        name = " ".join(shown(table.rows[place][i], table.columns[i]) for i in labels) or f"row {place + 1}"
        times[name] += 1
        block[name if times[name] == 1 else f"{name} #{times[name]}"] = place
    return block


def _with_place(table: Table) -> Table:
    """The table with the number of each row in a last column."""
    rows = tuple((*row, Value(str(i))) for i, row in enumerate(table.rows))
    return replace(table, columns=(*table.columns, Column("place", "place")), rows=rows)


def constants(table: Table, *, headings: bool = False) -> list[int]:
    """Columns that describe rather than answer, and say the same in every row, or nothing at all.

    What a published row leaves open does not count. `headings`: they too, where they are columns like others.
    """
    labels = [i for i in _labels(table) if not (headings and table.columns[i].group)]
    return [
        i
        for i, column in enumerate(table.columns)
        if i not in labels and len(table.rows) > 1 and _says_nothing_new(column, [row[i] for row in table.rows])
    ]


def _groups(table: Table) -> list[int]:
    return [i for i, column in enumerate(table.columns) if column.group]


def _says_nothing_new(column: Column, values: Sequence[Value]) -> bool:
    if any(value.mark for value in values):
        return False
    said = {(value.text, value.note) for value in values if value.text or value.kind != "published"}
    describes = not column.interval and (not column.numeric or column.priority > 1)
    return len(said) <= 1 if describes else not any(value.text for value in values)
