"""Ours and theirs: what each attack claims, what the judge says of that, what it cost, and what `strongest` misses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import median
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number
from robustbench_lite.text import budget, percent

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["missed", "peers", "refused"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("norm", "norm", numeric=False, group=True),
    Column("epsilon", "at most", numeric=False, group=True),
    Column("attack", "attack", numeric=False),
    Column("success", "success", "%", better="higher"),
    Column("size", "size", priority=2),
    Column("claimed", "claimed"),
    Column("refused", "refused"),
    Column("missed", "missed", "%", priority=2),
    Column("forwards", "forward", priority=2),
    Column("backwards", "backward", priority=2),
    Column("ms", "per sample", "ms"),
    Column("n", "n", priority=3),
)
_REMARK = (
    "success: of samples that were right before, as the judge says; size: the median change in the norm, failures "
    "being infinite; claimed: samples on which an attack of others succeeds by its own account; refused: claims that "
    "the judge does not confirm; missed: share of all samples that this attack breaks, as the judge says, and that no "
    "`strongest` of this run in the same norm and at its budget breaks; forward, backward: passes per sample, counted "
    "in the classifier"
)
_STRONGEST = "strongest"


@tables.register("peers", "Attacks of ours and of others: claimed and judged success, size, passes, time.")
def peers(results: Results) -> Table:
    notes, found = Footnotes(), [one for one in evaluations(results) if one.own]
    order = {key: i for i, key in enumerate(dict.fromkeys(map(_heading, found)))}
    rows = tuple(_row(one, found, notes) for one in sorted(found, key=lambda one: order[_heading(one)]))
    return Table(
        "peers", "Ours and theirs under one judge", COLUMNS, rows, (_REMARK, *notes.lines(results)), notes.shown()
    )


def refused(one: Evaluation) -> Flags:
    """(n,) the attack takes the sample for a success, and the judge does not."""
    return np.asarray((one["claimed"] == True) & ~one.success, np.bool_)  # noqa: E712  (null where nothing is claimed)


def missed(one: Evaluation, strongest: Evaluation) -> Flags:
    """(n,) judged successes within the budget of `strongest` on samples that it does not break."""
    within = one["clean_correct"] & one.success & (one.size <= allowed(strongest.epsilon or np.inf))
    return np.asarray(within & ~strongest.success, np.bool_)


def _heading(one: Evaluation) -> tuple[str, ...]:
    most = "" if one.norm is None else "smallest change" if one.epsilon is None else budget(one.epsilon)
    return one.model, one.dataset, one.norm or "none", most


def _row(one: Evaluation, found: list[Evaluation], notes: Footnotes) -> Row:
    names = ("model", "dataset", "norm", "epsilon")
    head = {key: label(text) for key, text in zip(names, _heading(one), strict=True)}
    head |= {"attack": notes.name(one.variant, one), "n": count(one.cell["n"], "label")}
    if not len(one):
        return filled(COLUMNS, head, MISSING)
    head |= _claims(one, notes) | {
        "forwards": number(one.cell["forwards"] and one.cell["forwards"] / len(one)),
        "backwards": number(None if one.cell["backwards"] is None else one.cell["backwards"] / len(one)),
        "ms": number(one.cell["seconds"] and 1000 * one.cell["seconds"] / len(one)),
    }
    return filled(COLUMNS, head | (_judged(one, found) if one.ok else {}), MISSING)


def _claims(one: Evaluation, notes: Footnotes) -> dict[str, Value]:
    """What it claims, and how much of that the judge refuses, and why: also where samples failed."""
    claimed = one["claimed"] == True  # noqa: E712  (null where nothing is claimed)
    if one.rows["claimed"].null_count:
        return {"claimed": label(""), "refused": label("")}
    not_so = refused(one)
    why = Counter(status if status != "ok" else "the classifier gets it right" for status in one["status"][not_so])
    text = "; ".join(f"{times} of {int(not_so.sum())}: {reason}" for reason, times in why.most_common(3))
    mark = notes.mark(f"refused, {one.variant}: {text}") if text else ""
    return {"claimed": count(int(claimed.sum())), "refused": _marked(count(int(not_so.sum())), mark)}


def _marked(value: Value, mark: str) -> Value:
    return replace(value, mark=mark)


def _judged(one: Evaluation, found: list[Evaluation]) -> dict[str, Value]:
    right = one["clean_correct"]
    share = float(one.success[right].mean()) if right.any() else float("nan")
    out = {"success": Value(percent(share), 100 * share) if right.any() else MISSING, "missed": label("")}
    if one.norm is None:
        return out | {"size": label("")}
    sizes = np.where(one.success, one.size, np.inf)[right]
    left = [missed(one, best) for best in found if _comparable(one, best)]
    share = float(np.logical_and.reduce(left).mean()) if left else float("nan")
    return out | {
        "size": number(median(sizes).value if len(sizes) else None),
        "missed": Value(percent(share), 100 * share) if left else label(""),
    }


def _comparable(one: Evaluation, best: Evaluation) -> bool:
    """Whether `best` is the strongest attack of ours on the same samples in the norm, and within the budget if any."""
    same = (one.model, one.dataset, one.norm) == (best.model, best.dataset, best.norm)
    near = one.epsilon is None or one.epsilon == best.epsilon
    return bool(
        best.attack == _STRONGEST and best.ok and one is not best and same and near and one.samples == best.samples
    )
