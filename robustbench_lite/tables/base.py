"""What a table is, before anybody decides how it looks: columns, rows of values by their keys, footnotes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robustbench_lite.errors import UsageError
from robustbench_lite.registry import Registry

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Column", "Row", "Table", "Value", "filled", "tables"]


@dataclass(frozen=True)
class Value:
    """One number (or word) of a table. `text` is how it reads; the rest is what it means."""

    text: str
    value: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    n: int | None = None
    kind: Literal["measured", "published", "derived", "label", "missing"] = "measured"
    note: str = ""  # where it comes from, or why it is missing
    best: bool = False  # of ours under its heading; only where a format shows it
    red: bool = False  # does not stand; colour for eyes only: words say it too
    mark: str = ""  # refers to footnotes, such as [1]; for eyes only, never part of the data


@dataclass(frozen=True)
class Column:
    key: str  # stable, for CSV and JSON
    title: str
    unit: str = ""
    numeric: bool = True
    interval: bool = False  # CSV has columns for low, high and n too
    group: bool = False  # equal for many rows in a row: a heading above them where people read, a column in CSV
    priority: Literal[1, 2, 3] = 1  # where there is no room: 3 is left out first, then intervals, then 2; 1 stays
    named: bool = False  # its title is the name of something, a number with a legend where there is no room
    better: Literal["higher", "lower", ""] = ""  # of the rows under one heading; empty: none is the best


Row = Mapping[str, Value]  # by the keys of the columns


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...] = ()
    cells: frozenset[str] = frozenset()  # ids of those whose results stand in it, if only that they failed

    def __post_init__(self) -> None:
        keys = [column.key for column in self.columns]
        if len(set(keys)) < len(keys):
            raise ValueError(f"table {self.name}: two columns have the same key: {', '.join(keys)}")
        for row in self.rows:
            if row.keys() != set(keys):
                odd = ", ".join(sorted(row.keys() ^ set(keys)))
                raise ValueError(f"table {self.name}: a row and the columns differ in {odd}")


def filled(columns: Iterable[Column], known: Row, rest: Value) -> Row:
    """A row: what is known of it, and `rest` in every other column."""
    return {column.key: known.get(column.key, rest) for column in columns}


Maker = Callable[["Results"], Table]


@dataclass(frozen=True)
class Listed:
    """A table before there are results: what it says, in one line, and how it is made."""

    summary: str
    make: Maker


class Tables(Registry[Listed]):
    """The tables by name; one per file in `tables/`, each a function from results to a `Table`."""

    def register(self, name: str, summary: str) -> Callable[[Maker], Maker]:
        """Decorate `make(results) -> Table` with this."""

        def add(maker: Maker) -> Maker:
            self.add(name, Listed(summary, maker), maker)
            return maker

        return add

    def summary(self, name: str) -> str:
        return self[name].summary

    def make(self, name: str, results: Results) -> Table:
        """The table `name` of `results`. Raises UsageError for a name that is not registered."""
        if name not in self:
            raise UsageError(self.unknown(name))
        return self[name].make(results)


tables = Tables("table", "robustbench_lite.tables")
