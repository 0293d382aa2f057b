"""Images that a generator made against a classifier, and what a second classifier says that they show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags, Reals
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["latent"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("attack", "attack", numeric=False),
    Column("generator", "generator", numeric=False, priority=2),
    Column("second", "second classifier", numeric=False, priority=3),
    Column("radius", "radius", priority=2),
    Column("errs", "errs", "% of correct", interval=True),
    Column("agrees", "second agrees", "% of these", interval=True),
    Column("success", "success", "% of correct", interval=True),
    Column("control", "random latent", "% of correct", interval=True),
    Column("clean", "second, clean", "%", interval=True, priority=3),
    Column("distance", "distance", priority=2),
    Column("n", "n", priority=2),
)
_REMARK = (
    "errs: the classifier does not say the sample's class of the generated image, of samples that it got right; "
    "second agrees: a second classifier, which the search never asks, says that class of these images; success: both; "
    "where the second does not agree nothing is shown, and nothing counts; random latent: the same of latents as far "
    "from the same start, in a random direction; second, clean: how often the second classifier is right on the "
    "samples themselves; radius, distance: l2 in latent space, the most allowed, and the median of the successes; "
    "[95 % Wilson interval]"
)


@tables.register("latent", "Images made by a generator against a classifier: it errs, a second classifier does not.")
def latent(results: Results) -> Table:
    notes = Footnotes()
    found = [one for one in evaluations(results) if one.attack == "latent"]
    rows = tuple(_row(one, notes) for one in found)
    lines = (_REMARK, *notes.lines(results)) if found else ("no cell of these results is of latent",)
    return Table("latent", "Generated images that a classifier gets wrong", COLUMNS, rows, lines, notes.shown())


def _row(one: Evaluation, notes: Footnotes) -> Row:
    head = {
        "dataset": label(one.dataset),
        "model": label(one.title),
        "attack": notes.name(one.variant, one),
        **{name: label(one.params.get(name)) for name in ("generator", "second")},
        "radius": number(one.params.get("radius"), kind="derived"),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"], "label")}, MISSING)
    right, label_of = one["clean_correct"], one["label"]
    errs, won = right & (one["adv_pred"] != label_of), right & one.success
    control = right & _is(one, "control_pred", wrong=True) & _is(one, "control_second_opinion")
    return head | {
        "errs": _share(errs, right),
        "agrees": _share(errs & one.agreed, errs),
        "success": _share(won, right),
        "control": _share(control, right),
        "clean": _share(_is(one, "clean_second_opinion"), np.ones(len(one), np.bool_)),
        "distance": number(float(np.median(_distances(one)[won])) if won.any() else None),
        "n": count(len(one)),
    }


def _is(one: Evaluation, column: str, *, wrong: bool = False) -> Flags:
    """(n,) whether the class in a column is the label, or is not."""
    return np.asarray((one[column].astype(np.int64) == one["label"]) != wrong, np.bool_)


def _distances(one: Evaluation) -> Reals:
    """(n,) from each start, in latent space."""
    told = one.rows["transform"].to_pylist()
    return np.array([json.loads(text)["distance"] if text else np.nan for text in told], np.float64)


def _share(some: Flags, of: Flags) -> Value:
    return share(wilson(int(some.sum()), int(of.sum())))
