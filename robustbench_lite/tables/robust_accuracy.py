"""Robust accuracy at each budget: clean, after each attack, and in the worst case, beside what was published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags, Reals
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.worst_case import Threat, WorstCase, allowed, worst_case_of
from robustbench_lite.tables import references
from robustbench_lite.tables._worst_changes import reds_of
from robustbench_lite.tables.base import Column, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share
from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Doubt, doubts, doubts_of

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["robust_accuracy"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("norm", "norm", numeric=False, group=True),
    Column("epsilon", "at most", group=True),
    Column("attack", "attack", numeric=False),
    Column("robust", "robust", "%", interval=True),
    Column("forwards", "forward", priority=2),
    Column("backwards", "backward", priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "robust: share of all n samples that are right before the attack and after it; within: what an attack without this "
    "budget, or on other classifiers, broke within it; worst case: no success of any attack of this run in this norm "
    "has a size within the budget; forward, backward: passes per sample, of the worst case those of all these attacks; "
    "[95 % Wilson interval]"
)
_PROVEN = (
    "proven: share of all n samples on which no attack within the budget can succeed, whatever it does; robust "
    "accuracy lies between this and the worst case. Attacks leave out what is proven, unless `skip: false` was said"
)
_PAPERS = ("robustbench", "autoattack-mnist", "autoattack-cifar10")  # the first that has the classifier is shown
_PASSES = ("forwards", "backwards")
_SAID = {"clean": "clean", "autoattack": "AutoAttack", "reported": "as its authors reported"}


@dataclass(frozen=True)
class _Block:
    """One classifier at one budget: its attacks with this budget, failed ones too, and their worst case, if any."""

    threat: Threat
    epsilon: float
    attacks: tuple[Evaluation, ...]
    case: WorstCase | None

    @property
    def heading(self) -> dict[str, Value]:
        norm = self.threat.norm + ("" if self.threat.clipped else ", unclipped")
        return {
            "model": label(self.threat.model),
            "dataset": label(self.threat.dataset),
            "norm": label(norm),
            "epsilon": Value(budget(self.epsilon), self.epsilon, kind="label"),
        }


@tables.register("robust_accuracy", "Robust accuracy at each budget: clean, each attack, the worst case, published.")
def robust_accuracy(results: Results) -> Table:
    notes, known = Footnotes(), doubts(results)
    blocks = _blocks(results)
    rows: list[dict[str, Value]] = []
    papers: list[str] = []
    for block in blocks:
        rows += [block.heading | row for row in _rows(results, block, known, notes)]
        for paper, row in _published(results, block):
            rows += [block.heading | said for said in _as_published(paper, row)]
            papers.append(f"published: {paper.source}. {paper.protocol}")
    remark = _REMARK if blocks else "no attack in these results has a budget in a norm; see the tables accuracy, curve"
    asked = [_PROVEN] if any(block.case and block.case.proven is not None for block in blocks) else []
    lines = (remark, *asked, *dict.fromkeys(papers), *notes.lines(results))
    return Table("robust_accuracy", "Robust accuracy, worst case", COLUMNS, tuple(rows), lines, notes.shown())


def _blocks(results: Results) -> list[_Block]:
    found: dict[tuple[Threat, float], list[Evaluation]] = {}
    for one in evaluations(results):
        threat = Threat.of(one)
        if threat is not None and one.epsilon is not None and one.own:
            found.setdefault((threat, one.epsilon), []).append(one)
    return [_Block(*key, tuple(many), worst_case_of(results, many[0])) for key, many in found.items()]


def _rows(
    results: Results, block: _Block, known: dict[str, tuple[Doubt, ...]], notes: Footnotes
) -> Iterator[dict[str, Value]]:
    """Clean, each attack, what others did within the budget, and the worst case."""
    case = block.case
    if case is not None:
        yield _row(label("clean"), _share(case.clean), len(case.clean))
    for one in block.attacks:
        yield _attack(one, known.get(one.id, ()), notes)
    if case is not None:
        yield from (_within(case, *pair, doubts_of(results, pair[0]), notes) for pair in _helpers(case))
        yield _worst(case, known, notes)
        if case.proven is not None:
            yield _proven(case, case.proven, notes)


def _row(name: Value, robust: Value, n: int | None, one: Evaluation | None = None) -> dict[str, Value]:
    passes = {key: number(one.cell[key] / len(one)) if one and one.cell[key] else label("") for key in _PASSES}
    return {"attack": name, "robust": robust, "n": count(n)} | passes


def _share(flags: Flags) -> Value:
    return share(wilson(int(flags.sum()), len(flags)))


def _attack(one: Evaluation, red: tuple[Doubt, ...], notes: Footnotes) -> dict[str, Value]:
    """What an attack with this very budget did on its own."""
    name = _marked(notes.name(one.variant, one), red, notes)
    if not one.ok:
        return dict(filled(COLUMNS[4:], {"attack": name, "n": count(one.cell["n"], "label")}, MISSING))
    return _row(name, _share(one.robust), len(one), one)


def _helpers(case: WorstCase) -> Iterator[tuple[Evaluation, Reals]]:
    """Of the other attacks in this norm those without a budget, and those that broke something within this one."""
    mine = {one.id for one in case.attacks}
    for one, sizes in zip(case.pool.members, case.pool.successes, strict=True):
        if one.id not in mine and (one.minimal or (sizes <= allowed(case.epsilon)).any()):
            yield one, sizes


def _within(
    case: WorstCase, one: Evaluation, sizes: Reals, red: tuple[Doubt, ...], notes: Footnotes
) -> dict[str, Value]:
    """What another attack of the pool did within this budget, to the samples that are asked about."""
    held = one["clean_correct"] & (sizes > allowed(case.epsilon))
    if one.samples != case.samples:
        held = held[np.isin(one.samples, case.samples)]
    made = f" made for {one.through}" if one.through else ""
    name = _marked(notes.name(f"{one.variant}{made}, within", one), red, notes)
    return _row(name, _share(held), len(held), one)


def _worst(case: WorstCase, known: dict[str, tuple[Doubt, ...]], notes: Footnotes) -> dict[str, Value]:
    """No headline where the number of no attack with this budget stands."""
    name = _marked(label("worst case"), reds_of(case, known), notes)
    passes = {key: number(sum(one.cell[key] or 0 for one in case.pool.members) / len(case.robust)) for key in _PASSES}
    return {"attack": name, "robust": _share(case.robust), "n": count(len(case.robust))} | passes


def _proven(case: WorstCase, proven: Flags, notes: Footnotes) -> dict[str, Value]:
    """What is left whatever the attack: the lower bound beside the upper one of the worst case."""
    methods = dict.fromkeys(one.cell["certify"] for one in case.attacks if one.cell["certify"])
    name = label(f"proven by {', '.join(methods)}" if methods else "proven at a larger budget")
    if fooled := int((proven & case.clean & ~case.robust).sum()):
        mark = notes.mark(f"does not stand: {fooled} samples are proven and broken; the proof or the judge is wrong")
        name = replace(name, mark=mark, red=True)
    return _row(name, _share(proven), len(proven))


def _marked(name: Value, red: tuple[Doubt, ...], notes: Footnotes) -> Value:
    marks = "".join(notes.mark(f"does not stand: {doubt}") for doubt in red)
    return replace(name, mark=name.mark + marks, red=bool(red))


def _published(results: Results, block: _Block) -> Iterator[tuple[references.Reference, dict[str, Any]]]:
    """The row of the first paper that has this classifier, as its card names it, at this budget."""
    names = results.run.get("published")
    name = names.get(block.threat.model) if isinstance(names, dict) else None
    if not isinstance(name, dict) or not name or not block.threat.clipped:
        return
    for paper in map(references.load, _PAPERS):
        row = paper.row(**name, norm=block.threat.norm)
        if row and paper.shown and np.isclose(float(Fraction(row["epsilon"])), block.epsilon):
            yield paper, row
            return


def _as_published(paper: references.Reference, row: dict[str, Any]) -> Iterator[dict[str, Value]]:
    for key, name in _SAID.items():
        value = Value(f"{row[key]:g}", float(row[key]), kind="published", note=paper.source)
        known = {"attack": Value(f"{name}, published", kind="published", note=paper.source), "robust": value}
        yield dict(filled(COLUMNS[4:], known, Value("", kind="published")))
