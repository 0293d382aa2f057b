"""The plan on one screen: seconds by classifier and attack, instead of a row for each cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from robustbench_lite.tables.base import Column, Row, Table, Value, filled

__all__ = ["SCREEN", "folded"]

SCREEN = 8  # cells that fit on one screen with what is said below them
_NAMED = 3  # failures that are told
_NONE = Value("", kind="label")


def folded(table: Table) -> Table:
    """The grid of the plan's cells under their dataset; the more numerous of attacks and classifiers are the rows."""
    down, across = ("attack", "source") if _many(table, "attack") >= _many(table, "source") else ("source", "attack")
    groups: defaultdict[tuple[str, str], defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in table.rows:
        groups[row["dataset"].text, row[down].text][row[across].text].append(row)
    names = list(dict.fromkeys(row[across].text for row in table.rows))
    title = "classifier" if down == "source" else "attack"
    heads = [Column("dataset", "dataset", numeric=False, group=True), Column("name", title, numeric=False)]
    # the key of a column is its place: a name may be that of another column
    columns = (*heads, *(Column(f"_{i}", name, "s", named=True) for i, name in enumerate(names)))
    rows = []
    for (dataset, name), cells in sorted(groups.items(), key=lambda item: _first(table, item[0][0])):
        known = {"dataset": Value(dataset, kind="label"), "name": Value(name, kind="label")}
        known |= {f"_{i}": _told(cells[other]) for i, other in enumerate(names) if other in cells}
        rows.append(filled(columns, known, _NONE))
    notes = ["seconds to run, stored: is in the store", *_failures(table.rows), *table.footnotes]
    notes.append(f"`--cells` lists all {len(table.rows)} cells")
    return Table(table.name, table.title, columns, tuple(rows), tuple(notes))


def _many(table: Table, key: str) -> int:
    return len({row[key].text for row in table.rows})


def _first(table: Table, dataset: str) -> int:
    """Where a dataset stands first, so that its rows are under one heading."""
    return next(i for i, row in enumerate(table.rows) if row["dataset"].text == dataset)


def _told(cells: Sequence[Row]) -> Value:
    """What is left to do of these cells."""
    states = [row["state"].text for row in cells]
    if failing := sum(state.startswith("fails") for state in states):
        return Value("fails" if failing == len(cells) else f"{failing} of {len(cells)} fail", kind="label", red=True)
    due = [row["seconds"].value for row, state in zip(cells, states, strict=True) if state == "to run"]
    known = [value for value in due if value is not None]
    if not due:
        return Value("stored", kind="label")
    return Value(f"{sum(known):.1f}", sum(known)) if known else Value("to run", kind="label")


def _failures(rows: Sequence[Row]) -> list[str]:
    """The first reasons why cells will fail."""
    reasons = list(dict.fromkeys(row["state"].text for row in rows if row["state"].text.startswith("fails")))
    more = [f"and {len(reasons) - _NAMED} other reasons"] if len(reasons) > _NAMED else []
    return [*reasons[:_NAMED], *more]
