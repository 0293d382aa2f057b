"""A generator of perturbations on images that it never saw, beside iterating and noise of the same budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share
from robustbench_lite.text import budget

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["advgan"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("attack", "attack", numeric=False, group=True),
    Column("norm", "norm", numeric=False, group=True),
    Column("epsilon", "at most", group=True),
    Column("source", "trained against", numeric=False),
    Column("model", "tested on", numeric=False),
    Column("fit_n", "fitted on", priority=3),
    Column("fit", "fooled of these", "%", priority=3),
    Column("success", "generator", "% of correct", interval=True),
    Column("pgd", "pgd", "% of correct", interval=True),
    Column("noise", "noise", "% of correct", interval=True),
    Column("control", "random direction", "% of correct", interval=True, priority=2),
    Column("passes", "passes, fitting", priority=3),
    Column("pgd_passes", "passes, pgd", priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "generator, pgd, noise: success on images that the classifier got right, none of which the generator was fitted "
    "on; pgd: made for the classifier that the generator was trained against, within the same budget, image by image; "
    "noise: the attack of that name, of the same size, its best of as many draws as it has; random direction: one "
    "drawn for all images; passes: forward and backward through the classifier, a tested image; those of the "
    "generator were spent on fitting it, and applying it takes none; [95 % Wilson interval]"
)


@tables.register("advgan", "A trained generator of perturbations beside PGD and noise of the same budget.")
def advgan(results: Results) -> Table:
    notes, everyone = Footnotes(), list(evaluations(results))
    found = [one for one in everyone if one.attack == "advgan"]
    rows = tuple(_row(one, everyone, notes) for one in found)
    lines = (_REMARK, *notes.lines(results)) if found else ("no cell of these results is of advgan",)
    return Table("advgan", "A generator of perturbations on held-out images", COLUMNS, rows, lines, notes.shown())


def _row(one: Evaluation, everyone: list[Evaluation], notes: Footnotes) -> Row:
    head = {
        "dataset": label(one.dataset),
        "attack": label(one.variant),
        "norm": label(one.norm),
        "epsilon": Value(budget(one.epsilon or 0), one.epsilon, kind="label"),
        "source": label(one.cell["source"]),
        "model": notes.name(one.model, one),
        "fit_n": count(one.cell["fit_n"]),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"], "label")}, MISSING)
    pgd, noise = _beside(one, everyone, "pgd", one.sources), _beside(one, everyone, "noise", (one.model,))
    known = head | {
        "fit": number(100 * one.cell["fit_rate"]),
        "success": _share(one, one.success),
        "control": _share(one, np.asarray(one["control_pred"].astype(np.int64) != one["label"], np.bool_)),
        "passes": number(one.passes / len(one)),
        "n": count(len(one)),
    }
    for name, other in (("pgd", pgd), ("noise", noise)):
        known[name] = MISSING if other is None else _share(other, other.success)
    known["pgd_passes"] = MISSING if pgd is None else number(pgd.passes / len(pgd))
    return known


def _beside(one: Evaluation, everyone: list[Evaluation], attack: str, sources: tuple[str, ...]) -> Evaluation | None:
    """The first finished evaluation of that attack on the same classifier and images, with the same budget and aim."""
    facts = (one.dataset, one.model, one.norm, one.epsilon, one.targeted)
    return next(
        (
            other
            for other in everyone
            if other.attack == attack
            and (other.dataset, other.model, other.norm, other.epsilon, other.targeted) == facts
            and other.sources == sources
            and other.ok
        ),
        None,
    )


def _share(one: Evaluation, won: Flags) -> Value:
    """Of the samples that were right at first."""
    right = one["clean_correct"]
    return share(wilson(int((won & right).sum()), int(right.sum())))
