"""Defences: what they leave of an attack on the classifier behind them, and of one that goes through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.tables import references
from robustbench_lite.tables._worst_changes import reds_of
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.certified_accuracy import held
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share
from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Doubt, doubts, doubts_of

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["defense"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("norm", "norm", numeric=False, group=True),
    Column("epsilon", "at most", group=True),
    Column("defense", "defense", numeric=False),
    Column("clean", "clean", "%", interval=True),
    Column("oblivious", "oblivious", "%", interval=True),
    Column("adaptive", "adaptive", "%", interval=True),
    Column("certified", "certified", "%", interval=True, priority=2),
    Column("n", "n", priority=3),
)
_PAPER = "athalye-t1"
_REMARK = (
    "Share of all n samples that are right before the attack and after it. oblivious: the attacker sees the classifier "
    "without its defense, and what comes of it is shown to the defended one; adaptive: the worst case over all attacks "
    "of this run, those through the defense (BPDA, expectation over its draws) among them; certified: right, and proven "
    "to stay so within the budget. What lies between oblivious and adaptive is no robustness. [95 % Wilson interval]"
)


@dataclass(frozen=True)
class _Line:
    """One defended classifier at one budget; `unaware` (n,): right under who attacks what is behind, if anybody did."""

    case: WorstCase
    facts: Mapping[str, str]  # which classifier, by which defence, with which parameters; empty: it is undefended
    unaware: tuple[Evaluation, ...]

    @property
    def block(self) -> tuple[Any, ...]:
        at = self.case.pool.threat
        return at.dataset, self.facts.get("classifier", at.model), at.norm, self.case.epsilon

    @property
    def heading(self) -> dict[str, Value]:
        dataset, model, norm, epsilon = self.block
        size = Value(budget(epsilon), epsilon, kind="label")
        return {"dataset": label(dataset), "model": label(model), "norm": label(norm), "epsilon": size}


@tables.register("defense", "Defended classifiers: clean, under who ignores the defense, under who goes through it.")
def defense(results: Results) -> Table:
    notes, lines = Footnotes(), _lines(results)
    rows: list[Row] = [_row(line, results, notes) for line in lines]
    remark = _REMARK if lines else "no classifier in these results stands behind a defense"
    said = [remark]
    if results.run.get("reference") == _PAPER:
        paper = references.load(_PAPER)
        rows += [_published(row, paper.source) for row in paper.rows]
        said.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    title = "Defenses: what they hide and what they hold"
    return Table("defense", title, COLUMNS, tuple(rows), (*said, *notes.lines(results)), notes.shown())


def _lines(results: Results) -> list[_Line]:
    """Every budget of every classifier that is defended, itself before its defences."""
    known = results.run.get("defenses") or {}
    behind = {facts.get("classifier") for facts in known.values()}
    found: dict[tuple[Any, ...], list[_Line]] = {}
    for case in worst_cases(results):
        at = case.pool.threat
        if at.clipped and (at.model in known or at.model in behind):
            line = _Line(case, known.get(at.model, {}), _unaware(results, case, known.get(at.model, {})))
            found.setdefault(line.block, []).append(line)
    return [line for lines in found.values() for line in sorted(lines, key=lambda one: bool(one.facts))]


def _unaware(results: Results, case: WorstCase, facts: Mapping[str, str]) -> tuple[Evaluation, ...]:
    """The attacks with this budget on what stands behind the defence, as the defended classifier was scored."""
    at, source = case.pool.threat, (facts.get("classifier"),)
    return tuple(
        one
        for one in evaluations(results)
        if (one.dataset, one.model, one.norm, one.epsilon) == (at.dataset, at.model, at.norm, case.epsilon)
        and one.sources == source
        and one.ok
        and one.samples == case.samples
    )


def _row(line: _Line, results: Results, notes: Footnotes) -> Row:
    case, known = line.case, doubts(results)
    name = notes.name(line.facts.get("by", "none"), case.attacks[0])
    for one in (*case.attacks, *line.unaware):
        notes.cells.add(one.id)
    numbers = {
        "clean": _share(case.clean),
        "oblivious": _oblivious(line, results, notes),
        "adaptive": _marked(_share(case.robust), reds_of(case, known), notes),
        "certified": _certified(case),
        "n": count(len(case.robust)),
    }
    return filled(COLUMNS, line.heading | {"defense": name} | numbers, label(""))


def _oblivious(line: _Line, results: Results, notes: Footnotes) -> Value:
    if not line.facts:
        return label("")
    if not line.unaware:
        return MISSING
    held = np.all([one.robust for one in line.unaware], axis=0)
    red = [doubts_of(results, one) for one in line.unaware]
    return _marked(_share(held), tuple(dict.fromkeys(doubt for part in red for doubt in part)), notes)


def _certified(case: WorstCase) -> Value:
    """The share that is right and proven to stay so at this budget; nothing where no certificate is in its norm."""
    one = case.attacks[0]
    if case.pool.threat.norm != "l2" or one.rows["certified_class"].null_count:
        return label("")
    return _share(held(one, case.epsilon))


def _share(flags: Flags) -> Value:
    return share(wilson(int(flags.sum()), len(flags)))


def _marked(value: Value, red: tuple[Doubt, ...], notes: Footnotes) -> Value:
    return replace(value, mark=value.mark + "".join(notes.mark(f"does not stand: {doubt}") for doubt in red))


def _published(row: Mapping[str, Any], source: str) -> Row:
    """A line of the paper that went through published defences."""
    said = {"defense": row["defense"], "norm": row["norm"], "dataset": row["dataset"]}
    known = {key: Value(str(text), kind="published", note=source) for key, text in said.items()}
    known["epsilon"] = Value(row["epsilon"], float(row["epsilon"]), kind="published", note=source)
    known["adaptive"] = Value(f"{row['accuracy']:g}", float(row["accuracy"]), kind="published", note=source)
    return filled(COLUMNS, known, Value("", kind="published"))
