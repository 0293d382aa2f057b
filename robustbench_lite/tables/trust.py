"""Every check of every cell: what a reader must know before believing a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import through
from robustbench_lite.tables.base import Column, Row, Table, tables
from robustbench_lite.tables.values import label
from robustbench_lite.text import plural

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results
    from robustbench_lite.trust.smell import Case, Check, Finding

__all__ = ["trust"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("source", "attacked", numeric=False, group=True),
    Column("attack", "attack", numeric=False, group=True),
    Column("check", "check", numeric=False),
    Column("level", "verdict", numeric=False),
    Column("text", "because", numeric=False),
)
_WORDS = {"red": "RED", "warning": "WARNING", "unknown": "cannot tell", "ok": "ok"}
_LOUD = {
    "red": "the number does not stand; mend this before you report it",
    "warning": "the number stands; say this beside it",
}


@tables.register("trust", "Every check of every cell, red ones first: budget, 8 bits, gradients, ties, calibration.")
def trust(results: Results) -> Table:
    from robustbench_lite.trust.smell import findings

    found = findings(results)
    rows = [row for case, said in found for row in _rows(case, said)]
    levels = Counter(_level(finding) for _, said in found for _, finding in said)
    counted = f"{levels['red']} red and {plural(levels['warning'], 'warning')} in {plural(len(rows), 'check')}"
    advice = [line for level in _LOUD for line in _advice(level, [pair for _, said in found for pair in said])]
    notes = [f"{counted} of {plural(len(found), 'cell')}", *advice, *results.problems]
    return Table("trust", "What to know before believing the numbers", COLUMNS, tuple(rows), tuple(notes))


def _level(finding: Finding) -> str:
    return "red" if finding.red else finding.level


def _rows(case: Case, said: list[tuple[Check, Finding]]) -> list[Row]:
    """What every check says of a cell, the worst first; what else it says in the order of the checks."""
    cell, rows = case.cell, list[Row]()
    head = {"dataset": label(cell["dataset"]), "source": label(through(cell)), "attack": label(cell["variant"])}
    order = [*_LOUD]
    for check, finding in sorted(said, key=lambda pair: [*order, _level(pair[1])].index(_level(pair[1]))):
        said_of = {"check": check.title, "level": _WORDS[_level(finding)], "text": finding.text}
        row = head | {key: label(text) for key, text in said_of.items()}
        rows.append(row | {"level": replace(row["level"], red=finding.red)})
    return rows


def _advice(level: str, said: list[tuple[Check, Finding]]) -> list[str]:
    """What follows from such findings, and what to do about each check that has one."""
    checks = {check.name: check for check, finding in said if _level(finding) == level}
    lines = [f"  {one.title}: {one.remedy or one.why} (`describe {one.name}`)" for one in checks.values()]
    return [f"{_WORDS[level]}: {_LOUD[level]}", *lines] if lines else []
