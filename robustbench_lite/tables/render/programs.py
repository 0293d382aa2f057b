"""CSV and JSON: full precision, stable keys, no formula for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.text import for_csv

__all__ = ["as_csv", "as_json"]

_EXTRA = ("low", "high", "n")  # fields of a number with an interval, beside its value


def as_csv(table: Table) -> str:
    """One line per row; a column with an interval has four fields, numbers are in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [
        head
        for column in table.columns
        for head in ([column.key, *(f"{column.key}_{part}" for part in _EXTRA)] if column.interval else [column.key])
    ]
    writer.writerow([*heads, "kind", "note"])
    for row in table.rows:
        fields = [field for column in table.columns for field in _fields(row[column.key], column)]
        said = [row[column.key] for column in table.columns if not column.group]  # a heading has no say
        writer.writerow([*fields, _kind(said), for_csv(_note(said))])
    return out.getvalue()


def _fields(value: Value, column: Column) -> list[str]:
    if not column.numeric:
        return [for_csv(value.text)]
    numbers = [value.value, value.low, value.high, value.n] if column.interval else [value.value]
    return ["" if number is None or math.isnan(number) else str(_number(number)) for number in numbers]


def _number(number: float) -> float | int:
    """A plain Python number, whatever numpy hands us."""
    return float(number) if isinstance(number, float) else int(number)


def _kind(values: Sequence[Value]) -> str:
    """Of a whole row: published, missing (no number of it may be shown), else measured."""
    kinds = {value.kind for value in values}
    if "published" in kinds:
        return "published"
    return "missing" if "missing" in kinds and not kinds & {"measured", "derived"} else "measured"


def _note(values: Sequence[Value]) -> str:
    return "; ".join(dict.fromkeys(value.note for value in values if value.note))


def as_json(table: Table) -> str:
    rows = [{column.key: _entry(row[column.key]) for column in table.columns} for row in table.rows]
    columns = [{"key": c.key, "title": c.title, "unit": c.unit, "numeric": c.numeric} for c in table.columns]
    content = {"name": table.name, "title": table.title, "columns": columns, "rows": rows}
    content["footnotes"] = list(table.footnotes)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode() + "\n"


def _entry(value: Value) -> dict[str, object]:
    """A value with all that is known of it; JSON has no infinity, so that one is only in its text."""
    numbers = {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    known = {
        key: None if number is None or not math.isfinite(number) else _number(number) for key, number in numbers.items()
    }
    return {"text": value.text, "kind": value.kind, **known, "note": value.note}
