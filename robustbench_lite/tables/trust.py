"""Every check of every cell: what a reader must know before believing a number."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import through
from robustbench_lite.tables.base import Column, Table, tables
from robustbench_lite.tables.values import label

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["trust"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("source", "attacked", numeric=False, group=True),
    Column("attack", "attack", numeric=False, group=True),
    Column("check", "check", numeric=False),
    Column("level", "verdict", numeric=False),
    Column("text", "because", numeric=False),
)
_WORDS = {"ok": "ok", "warning": "WARNING", "unknown": "cannot tell"}


@tables.register("trust", "Every check of every cell, warnings first: budget, 8 bits, gradients, ties, calibration.")
def trust(results: Results) -> Table:
    from robustbench_lite.trust.smell import findings

    found = findings(results)
    rows, warnings, smells = [], 0, {}
    for case, said in found:
        cell = case.cell
        head = {"dataset": label(cell["dataset"]), "source": label(through(cell)), "attack": label(cell["variant"])}
        for check, finding in sorted(said, key=lambda pair: pair[1].level != "warning"):
            said_of = {"check": check.title, "level": _WORDS[finding.level], "text": finding.text}
            row = head | {key: label(text) for key, text in said_of.items()}
            row["level"] = replace(row["level"], red=finding.level == "warning")
            rows.append(row)
            if finding.level == "warning":
                warnings += 1
                smells[check.title] = check.why
    count = f"{warnings} warning{'' if warnings == 1 else 's'} in {len(rows)} checks of {len(found)} cells"
    notes = [count, *(f"{title}: {why}" for title, why in smells.items()), *results.problems]
    return Table("trust", "What to know before believing the numbers", COLUMNS, tuple(rows), tuple(notes))
