"""Robust accuracy between what is proven and what attacks left: both ends, what lies between, and what proofs cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.tables._worst_changes import reds_of
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.values import Footnotes, count, label, number, share
from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Doubt, doubts

if TYPE_CHECKING:
    from robustbench_lite.results.evaluation import Flags
    from robustbench_lite.results.store import Results

__all__ = ["certified"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("norm", "norm", numeric=False),
    Column("epsilon", "at most"),
    Column("clean", "clean", "%", interval=True, priority=2),
    Column("proven", "proven", "%", interval=True),
    Column("attacked", "attacked", "%", interval=True),
    Column("open", "undecided", "%", interval=True),
    Column("method", "proven by", numeric=False, priority=2),
    Column("ms", "proof", "ms", priority=2),
    Column("n", "n", priority=2),
)
_REMARK = (
    "of all n samples: clean, right before any attack; proven, right on every image within the budget; attacked, right "
    "under every attack of this run (worst case); undecided, neither proven nor broken: robust accuracy is known up to "
    "that; proof: per sample, as far as it was done in this run; [95 % Wilson interval]"
)


@tables.register("certified", "Robust accuracy between proven and attacked, what is undecided, and the cost of proofs.")
def certified(results: Results) -> Table:
    notes, known = Footnotes(), doubts(results)
    rows = [
        _row(case, case.proven, known, notes)
        for case in worst_cases(results)
        if case.proven is not None and any(one.cell["certify"] for one in case.attacks)
    ]
    remark = _REMARK if rows else "nothing was proven in these results: a suite asks for it with `certify: crown`"
    return Table("certified", "Between proven and attacked", COLUMNS, tuple(rows), (remark, *notes.lines(results)))


def _row(case: WorstCase, proven: Flags, known: dict[str, tuple[Doubt, ...]], notes: Footnotes) -> dict[str, Value]:
    asked = [one for one in case.attacks if one.cell["certify"]]
    for one in asked:
        notes.cells.add(one.id)
    seconds = [one.cell["seconds_certify"] for one in asked if one.cell["seconds_certify"] is not None]
    marks = "".join(notes.mark(f"does not stand: {doubt}") for doubt in reds_of(case, known))
    attacked = _share(case.robust)
    return {
        "model": label(case.pool.threat.model),
        "dataset": label(case.pool.threat.dataset),
        "norm": label(case.pool.threat.norm),
        "epsilon": Value(budget(case.epsilon), case.epsilon, kind="label"),
        "clean": _share(case.clean),
        "proven": _share(proven),
        "attacked": replace(attacked, mark=marks, red=bool(marks)),
        "open": _share(case.robust & ~proven),
        "method": label(", ".join(dict.fromkeys(one.cell["certify"] for one in asked))),
        "ms": number(1000 * sum(seconds) / len(proven)) if seconds else number(None),
        "n": count(len(proven)),
    }


def _share(flags: Flags) -> Value:
    estimate: Estimate = wilson(int(flags.sum()), len(flags))
    return share(estimate)
