"""Image files that a table beside them names: metadata.csv or metadata.jsonl, as in Hugging Face's imagefolder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.datasets._columns import LABELS, column_named
from robustbench_lite.datasets._known import ids_of_files
from robustbench_lite.datasets._labels import Raw, listed, printable
from robustbench_lite.datasets._parts import Encoded
from robustbench_lite.datasets._paths import read_file
from robustbench_lite.datasets._pictures import SUFFIXES
from robustbench_lite.errors import DataError

__all__ = ["TABLES", "Listed", "listed_files"]

TABLES = ("metadata.csv", "metadata.jsonl")
_FILE = "file_name"  # the column that `datasets` asks for


@dataclass(frozen=True)
class Listed:
    """The files that a table names, as a `Part`; `others`: image files that it does not name."""

    base: Path
    files: tuple[Path, ...]
    labels: list[Raw]
    others: tuple[str, ...]
    names: tuple[str, ...] = ()
    start: int = 0

    def place(self, row: int) -> str:
        """The sentence's place of a row."""
        return printable(str(self.files[row]))

    def ids(self) -> list[str]:
        """Of all files; those that are unchanged are not read again."""
        return ids_of_files(self.base, self.files)

    def images(self, rows: Iterable[int]) -> dict[int, Encoded]:
        """Some of them."""
        return {row: read_file(self.files[row]) for row in rows}


def listed_files(table: Path, label: str) -> Listed:
    """What a table names, and how it is labelled by the column `label`. Raises DataError."""
    rows = _csv(table) if table.suffix == ".csv" else _jsonl(table)
    if not rows:
        raise DataError(f"{table}: there are no rows")
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    if _FILE not in columns:
        raise DataError(f"{table}: no column '{_FILE}', which says where each image lies; it has {listed(columns)}")
    label = column_named(label, LABELS, columns, str(table))
    files = tuple(_file(table, line, row.get(_FILE)) for line, row in rows)
    labels = [_label(f"{table} line {line}", label, row.get(label)) for line, row in rows]
    if table.suffix == ".csv" and all(one is None or _whole(one) for one in labels):
        labels = [None if one is None else int(one) for one in labels]  # a CSV has no types
    return Listed(table.parent, files, labels, _others(table.parent, set(files)))


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text in UTF-8; save it so") from None


def _csv(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line, row) of every row; an empty field is missing."""
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        return [(reader.line_num, {key: value or None for key, value in row.items() if key}) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from None


def _jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = list[tuple[int, dict[str, Any]]]()
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path} line {line}: expected an object of JSON")
        rows.append((line, row))
    return rows


def _file(table: Path, line: int, name: Any) -> Path:
    """The file of a row, which lies in the folder of the table. Raises DataError."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{table} line {line}: expected a path in '{_FILE}', got {name!r}")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{table} line {line}: expected a file in the folder of the table, got '{name}'")
    path = table.parent / name
    if not path.exists():
        raise DataError(f"{table} line {line}: no file '{name}' beside it")
    return path


def _label(place: str, column: str, value: Any) -> Raw:
    if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DataError(f"{place}: column '{column}' holds {value!r}, expected a class number or name")


def _whole(label: Raw) -> bool:
    text = str(label)
    return text.isascii() and text.removeprefix("-").isdecimal()


def _others(base: Path, named: set[Path]) -> tuple[str, ...]:
    paths = (path for path in sorted(base.rglob("*")) if path.suffix.lower() in SUFFIXES and path not in named)
    return tuple(printable(str(path.relative_to(base))) for path in paths if not path.name.startswith("."))
