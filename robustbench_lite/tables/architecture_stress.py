"""Objectives by architectures: which pairs train, as in figure 2 of https://arxiv.org/abs/1704.00028."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables._generators import NOTHING, Cell, cells, outcome
from robustbench_lite.tables.base import Column, Row, Table, Value, tables
from robustbench_lite.tables.references import load
from robustbench_lite.tables.values import MISSING, Footnotes, label, share
from robustbench_lite.text import significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robustbench_lite.results.store import Results

__all__ = ["architecture_stress"]

_FIGURE = "wgangp-fig2"
_REMARK = (
    "each cell: the score of its images (classifier score, or the share of points near a mode in percent), mean over "
    "seeds, where it has trained; else what became of it. Collapsed: classes or modes are missing, or images are "
    "alike, by the margins of the footnotes; not learned: under half of what real images score"
)


@tables.register("architecture_stress", "Objective by architecture: which pairs train, which collapse, and why.")
def architecture_stress(results: Results) -> Table:
    notes, found = Footnotes(), cells(results)
    objectives = list(dict.fromkeys(cell["objective"] for cell in found))
    architectures = list(dict.fromkeys(cell["architecture"] for cell in found))
    columns = (
        Column("architecture", "architecture", numeric=False),
        *(Column(name, name, named=True) for name in objectives),
    )
    rows = [_row(name, objectives, found, notes) for name in architectures]
    if len(rows) > 1:
        rows.append(_trained(objectives, found))
    remarks = [_REMARK, *_paper(objectives)] if found else [NOTHING]
    title = "Which objectives train which architectures"
    return Table("architecture_stress", title, columns, tuple(rows), (*remarks, *notes.lines(results)))


def _row(architecture: str, objectives: Sequence[str], found: Sequence[Cell], notes: Footnotes) -> Row:
    row = {"architecture": label(architecture)}
    for objective in objectives:
        pair = [cell for cell in found if (cell["architecture"], cell["objective"]) == (architecture, objective)]
        row[objective] = _value(pair, notes)
    return row


def _value(pair: Sequence[Cell], notes: Footnotes) -> Value:
    """The mean score of what has trained, and what became of the others."""
    if not pair:
        return MISSING
    scores = [score for cell in pair if cell["outcome"] == "trained" and (score := _score(cell)) is not None]
    others = [outcome(cell, notes) for cell in pair if cell["outcome"] != "trained"]
    mean = sum(scores) / len(scores) if scores else None
    words = [significant(mean, 3)] if mean is not None else []
    many = len(pair) > 1
    words += [f"{sum(one.text == word for one in others)} {word}" if many else word
              for word in dict.fromkeys(one.text for one in others)]  # fmt: skip
    note, mark = "; ".join(one.note for one in others), "".join(one.mark for one in others)
    return Value(", ".join(words) or "trained", mean, n=len(pair), note=note, mark=mark)


def _score(cell: Cell) -> float | None:
    score: float | None = cell["classifier_score"]
    return score if score is not None or cell["high_quality"] is None else 100 * cell["high_quality"]


def _trained(objectives: Sequence[str], found: Sequence[Cell]) -> Row:
    """How many of each objective's cells have trained."""
    row = {"architecture": label("trained")}
    for objective in objectives:
        own = [cell["outcome"] == "trained" for cell in found if cell["objective"] == objective]
        estimate = wilson(sum(own), len(own))
        value = share(estimate)
        row[objective] = Value(f"{sum(own)} of {len(own)}", value.value, value.low, value.high, len(own), "derived")
    return row


def _paper(objectives: Sequence[str]) -> list[str]:
    known = load(_FIGURE)
    return [f"published ({known.source}): {known.quantity}; {known.protocol}"] if "wgan_gp" in objectives else []
