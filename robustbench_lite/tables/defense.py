"""Defences: what they leave of an attack on the classifier behind them, and of one that goes through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.worst_case import Threat, WorstCase, worst_cases
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
    Column("defense", "defence", numeric=False),
    Column("clean", "clean", "%", interval=True),
    Column("oblivious", "oblivious", "%", interval=True),
    Column("adaptive", "adaptive", "%", interval=True),
    Column("certified", "certified", "%", interval=True, priority=2),
    Column("n", "n", priority=3),
)
_PAPER = "athalye-t1"
_REMARK = (
    "Share of all n samples that are right before the attack and after it. oblivious: the attacker sees the classifier "
    "without its defence, and what he makes is shown to the defended one; adaptive: the worst case over all attacks "
    "of this run, those through the defence (BPDA, expectation over its draws) among them; certified: right, and "
    "proven to stay so within the budget. What lies between the two attackers is no robustness. [95 % Wilson interval]"
)


@dataclass(frozen=True)
class _Line:
    """One classifier, defended or not, at one budget.

    `facts`: which classifier is behind, by which defence; empty: it is undefended. `case`: what attacks on itself left;
    None: there is none. `unaware`: attacks on what is behind, as this one was scored.
    """

    threat: Threat
    epsilon: float
    facts: Mapping[str, str]
    case: WorstCase | None
    unaware: tuple[Evaluation, ...]

    @property
    def block(self) -> tuple[str, str, str, float]:
        """Dataset, the classifier behind, norm, budget: what stands above several lines."""
        at = self.threat
        return at.dataset, self.facts.get("classifier", at.model), at.norm, self.epsilon

    @property
    def held(self) -> Flags:
        """(n,) which samples are right before and after what was made for the classifier behind alone."""
        return np.asarray(np.all([one.robust for one in self.unaware], axis=0), np.bool_)

    @property
    def clean(self) -> Flags:
        """(n,) which samples are right before any attack."""
        return self.unaware[0]["clean_correct"] if self.case is None else self.case.clean

    @property
    def heading(self) -> dict[str, Value]:
        dataset, model, norm, epsilon = self.block
        size = Value(budget(epsilon), epsilon, kind="label")
        return {"dataset": label(dataset), "model": label(model), "norm": label(norm), "epsilon": size}


@tables.register("defense", "Defended classifiers: clean, under who ignores the defence, under who goes through it.")
def defense(results: Results) -> Table:
    notes, lines = Footnotes(), _lines(results)
    rows: list[Row] = [_row(line, results, notes) for line in lines]
    said = [*_lessons(lines), _REMARK] if lines else ["no classifier in these results stands behind a defence"]
    if results.run.get("reference") == _PAPER:
        paper = references.load(_PAPER)
        rows += [_published(row, paper.source) for row in paper.rows]
        said.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    title = "Defences: what they hide and what they hold"
    return Table("defense", title, COLUMNS, tuple(rows), (*said, *notes.lines(results)), notes.shown())


def _lines(results: Results) -> list[_Line]:
    """Every budget of every classifier that is defended, itself before its defences."""
    known = results.run.get("defenses") or {}
    behind = {facts.get("classifier") for facts in known.values()}
    cases = {(case.pool.threat, case.epsilon): case for case in worst_cases(results)}
    unaware = _unaware(results, known)
    found: dict[tuple[Any, ...], list[_Line]] = {}
    for threat, epsilon in dict.fromkeys([*cases, *unaware]):
        if threat.clipped and (threat.model in known or threat.model in behind):
            at = (threat, epsilon)
            line = _Line(*at, known.get(threat.model, {}), cases.get(at), tuple(unaware.get(at, ())))
            found.setdefault(line.block, []).append(line)
    return [line for lines in found.values() for line in sorted(lines, key=lambda one: bool(one.facts))]


def _unaware(results: Results, known: Mapping[str, Mapping[str, str]]) -> dict[tuple[Threat, float], list[Evaluation]]:
    """Finished attacks with a budget on what stands behind a defence alone, as the defended classifier was scored."""
    found: dict[tuple[Threat, float], list[Evaluation]] = {}
    for one in evaluations(results):
        threat, source = Threat.of(one), known.get(one.model, {}).get("classifier")
        if threat is not None and one.epsilon is not None and one.ok and one.sources == (source,):
            same = found.setdefault((threat, one.epsilon), [])
            same += [one] if not same or same[0].samples == one.samples else []
    return found


def _row(line: _Line, results: Results, notes: Footnotes) -> Row:
    case, shown = line.case, [*(line.case.attacks if line.case else ()), *line.unaware]
    notes.cells.update(one.id for one in shown)
    adaptive = MISSING if case is None else _marked(_share(case.robust), reds_of(case, doubts(results)), notes)
    numbers = {
        "clean": _share(line.clean),
        "oblivious": _oblivious(line, results, notes),
        "adaptive": adaptive,
        "certified": _certified(shown[0], line.epsilon),
        "n": count(len(line.clean)),
    }
    name = notes.name(line.facts.get("by", "none"), shown[0])
    return filled(COLUMNS, line.heading | {"defense": name} | numbers, label(""))


def _lessons(lines: Sequence[_Line]) -> Iterator[str]:
    """What the two attackers leave of each classifier, a sentence for every budget."""
    blocks: dict[tuple[Any, ...], list[_Line]] = {}
    for line in lines:
        if line.unaware and line.case is not None:
            blocks.setdefault(line.block, []).append(line)
    for (dataset, model, norm, epsilon), several in blocks.items():
        hidden = _range([line.held.mean() for line in several])
        left = _range([line.case.robust.mean() for line in several if line.case])
        those = several[0].facts["by"] if len(several) == 1 else f"{len(several)} defences"
        yield (
            f"{dataset}, {norm} at most {budget(epsilon)}: who attacks {model} alone leaves {hidden} right behind "
            f"{those}; who goes through {'it' if len(several) == 1 else 'them'} leaves {left}"
        )


def _range(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.4g}", f"{100 * max(shares):.4g}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _oblivious(line: _Line, results: Results, notes: Footnotes) -> Value:
    if not line.facts:
        return label("")
    if not line.unaware:
        return MISSING
    red = [doubts_of(results, one) for one in line.unaware]
    return _marked(_share(line.held), tuple(dict.fromkeys(doubt for part in red for doubt in part)), notes)


def _certified(one: Evaluation, epsilon: float) -> Value:
    """The share that is right and proven to stay so at this budget; nothing where no certificate is in its norm."""
    if one.norm != "l2" or one.rows["certified_class"].null_count:
        return label("")
    return _share(held(one, epsilon))


def _share(flags: Flags) -> Value:
    return share(wilson(int(flags.sum()), len(flags)))


def _marked(value: Value, red: tuple[Doubt, ...], notes: Footnotes) -> Value:
    marks = "".join(notes.mark(f"does not stand: {doubt}") for doubt in red)
    return replace(value, mark=value.mark + marks, red=bool(red))


def _published(row: Mapping[str, Any], source: str) -> Row:
    """A line of the paper that went through published defences."""
    said = {"defense": row["defense"], "norm": row["norm"], "dataset": row["dataset"]}
    known = {key: Value(str(text), kind="published", note=source) for key, text in said.items()}
    known["epsilon"] = Value(row["epsilon"], float(row["epsilon"]), kind="published", note=source)
    known["adaptive"] = Value(f"{row['accuracy']:g}", float(row["accuracy"]), kind="published", note=source)
    return filled(COLUMNS, known, Value("", kind="published"))
