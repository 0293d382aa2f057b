"""DeepFool's Tables 1 and 2: the mean relative size of minimal perturbations, with times, beside the published ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from json import loads
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.statistics import (
    ENOUGH,
    Estimate,
    bootstrap_mean,
    bootstrap_ratio,
    median,
    size_of,
    wilson,
)
from robustbench_lite.tables._deepfool_paper import REMARKS, Published, published
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share, spread

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["rho_adv"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("norm", "norm", numeric=False, group=True),
    Column("error", "test error", "%", group=True),
    Column("error_published", "published", "%", group=True),
    Column("error_here", "error here", "%", group=True, interval=True),
    Column("attack", "attack", numeric=False),
    Column("rho", "rho_adv [95 %]", interval=True, better="lower"),
    Column("ratio", "/ DeepFool [95 %]", interval=True, priority=2),
    Column("success", "success", "%", interval=True, better="higher"),
    Column("median", "median", interval=True, better="lower"),
    Column("ms", "batch", "ms", priority=3),
    Column("ms_alone", "alone", "ms", priority=2, better="lower"),
    Column("speed", "speed", "x", priority=3, better="higher"),
    Column("n", "n", priority=2),
)
_SHORT = "no epsilon fools the fraction of the data that was asked for: by the protocol there is no value"
_WITHHELD = f"withheld: a mean of fewer than {100 * ENOUGH:g} % successes leaves out who holds out; see the median"
_REMARK = (
    "rho_adv: mean of ||r|| / ||x|| where the attack succeeded, x in [0, 1], withheld below 99 % success (one epsilon "
    "for all: of all samples); success: of all samples; median: of all, a failure counts as infinite; batch, alone: "
    "ms per sample in a full batch and at batch size 1; speed: how many times faster, one at a time, than the slowest "
    "attack on the same classifier; / DeepFool: to DeepFool with the same clipping; error here: on these n samples, "
    "test error: on the official test set"
)


@dataclass(frozen=True)
class Block:
    """The attacks on one classifier whose perturbations are measured in one norm."""

    dataset: str
    model: str
    norm: str
    members: tuple[Group, ...]
    paper: Published | None

    def rho(self, group: Group) -> npt.NDArray[np.float64]:
        return group["rho" if self.norm == "l2" else "rho_linf"].astype(np.float64)

    def deepfool(self, group: Group) -> Group | None:
        """The DeepFool cell that `group` is compared with: clipped as it is, where there is a choice."""
        found = [one for one in self.members if one.cell["attack"] == "deepfool" and one.ok]
        same = [one for one in found if _clipped(one) == _clipped(group)]
        return next(iter(same or found), None)


@tables.register("rho_adv", "DeepFool's Tables 1 and 2: rho_adv, success, time per sample, and the published rows.")
def rho_adv(results: Results) -> Table:
    notes, rows = Footnotes(), []
    blocks = list(_blocks(results))
    for block in blocks:
        rows += list(_rows(block, notes))
    remarks = [_REMARK, *(REMARKS if any(block.paper for block in blocks) else ())]
    if not blocks:
        remarks = ["no attack in these results looks for minimal perturbations (deepfool, lbfgs, fgsm with fraction)"]
    title = "rho_adv: the mean relative size of minimal perturbations"
    return Table("rho_adv", title, COLUMNS, tuple(rows), (*remarks, *notes.lines(results)), notes.shown())


def _blocks(results: Results) -> Iterator[Block]:
    """Per classifier: the l2 block, then the linf block where an attack minimises linf. One epsilon: in both."""
    found = [g for g in groups(results) if g.cell["eps"] is None and g.cell["attack"] and g.model == g.cell["source"]]
    for dataset, model in dict.fromkeys((g.cell["dataset"], g.model) for g in found):
        own = [g for g in found if (g.cell["dataset"], g.model) == (dataset, model)]
        order = list(dict.fromkeys(g.cell["attack"] for g in own))
        own.sort(key=lambda g: order.index(g.cell["attack"]))
        minimal = {g.cell["norm"] for g in own if not _one_size(g)}
        for norm in ("l2", "linf"):
            if norm in minimal or (norm == "l2" and not minimal):
                members = tuple(g for g in own if _one_size(g) or g.cell["norm"] == norm)
                yield Block(dataset, model, norm, members, published(results.run, model, norm))


def _rows(block: Block, notes: Footnotes) -> Iterator[tuple[Value, ...]]:
    names = _names(block)
    alone = [_alone(group) for group in block.members if group.ok]
    slowest = max((seconds for seconds in alone if seconds), default=None)
    heading = _heading(block)
    compared = {str(group.cell["attack"]) for group in block.members if group.ok}
    for i, group in enumerate(block.members):
        yield (*heading, *_measured(block, group, names[i], slowest, notes))
        attack = str(group.cell["attack"])
        last = i + 1 == len(block.members) or block.members[i + 1].cell["attack"] != attack
        if block.paper and last and block.paper.rho(attack) is not None:
            yield (*heading, *_as_published(block.paper, attack, compared))


def _heading(block: Block) -> tuple[Value, ...]:
    cells = [group.cell for group in block.members if group.cell["card_test_error"] is not None]
    correct = next((group["clean_correct"].astype(bool) for group in block.members if group.ok), None)
    return (
        label(block.model),
        label(block.dataset),
        label(block.norm),
        number(cells[0]["card_test_error"]) if cells else label(""),
        block.paper.error() if block.paper else label(""),
        label("") if correct is None else share(wilson(int((~correct).sum()), len(correct))),
    )


def _measured(block: Block, group: Group, name: str, slowest: float | None, notes: Footnotes) -> Iterator[Value]:
    yield notes.name(name, group)
    if not group.ok:
        yield from (*[MISSING] * 7, count(group.cell["n"], "label"))
        return
    cell, rho, success = group.cell, block.rho(group), group["success"].astype(bool)
    marks = "".join(notes.mark(f"{group.model}, {name}: {note}") for note in cell["notes"] or [])
    alone = _alone(group)
    undefined = int((~np.isfinite(rho)).sum())
    if undefined:
        marks += notes.mark(f"||r|| / ||x|| is not defined on {undefined} of {len(rho)} samples: their image is zero")
    short = _short_of(group, success)
    yield _mean(group, rho, success, marks) if not short else Value("—", kind="missing", note=short, mark=marks)
    yield _ratio(block, group) if not short else MISSING
    yield share(wilson(int(success.sum()), len(success)), interval=False)
    yield MISSING if short == _SHORT else _middle(rho, success, interval=bool(short))
    yield number(None if cell["seconds"] is None else 1000 * cell["seconds"] / len(rho))
    yield number(None if alone is None else 1000 * alone)
    yield number(slowest / alone if slowest and alone else None, 2, "derived")
    yield count(len(rho))


def _short_of(group: Group, success: npt.NDArray[np.bool_]) -> str:
    """Why there is no mean; empty where there is one. A share that was asked for is enough: that is the protocol."""
    fraction = _params(group).get("fraction")
    if fraction:
        return "" if success.sum() + 1 >= fraction * len(success) else _SHORT  # a near tie may fall either way
    return "" if success.mean() >= ENOUGH else _WITHHELD


def _mean(group: Group, rho: npt.NDArray[np.float64], success: npt.NDArray[np.bool_], marks: str) -> Value:
    """Of one size for all samples the mean of all: who withstands it has seen it too."""
    found = bootstrap_mean(rho) if _params(group).get("fraction") else size_of(rho, success).estimate
    return spread(found, mark=marks)


def _middle(rho: npt.NDArray[np.float64], success: npt.NDArray[np.bool_], *, interval: bool) -> Value:
    """The median, failures at infinity, with its exact interval; in the text only where it stands for the mean."""
    found: Estimate = median(np.where(success, rho, np.inf))
    if math.isnan(found.value):
        return MISSING
    if math.isinf(found.value):
        return Value("inf", found.value, found.low, found.high, found.n, note="half or more are never broken")
    whole = spread(found)
    return whole if interval else replace(whole, text=number(found.value).text)


def _ratio(block: Block, group: Group) -> Value:
    base = block.deepfool(group)
    if base is None or base is group:
        return MISSING if base is None else Value("1", 1.0, kind="derived")
    if _short_of(base, base["success"].astype(bool)):
        return Value("—", kind="missing", note="DeepFool's own mean is withheld")
    if not group.rows["sample"].equals(base.rows["sample"]):
        return Value("—", kind="missing", note="not the same samples as DeepFool's")
    both = [group["success"].astype(bool) | bool(_params(group).get("fraction")), base["success"].astype(bool)]
    kept = both[0] & both[1]
    return spread(bootstrap_ratio(block.rho(group)[kept], block.rho(base)[kept]), kind="derived")


def _as_published(paper: Published, attack: str, compared: set[str]) -> tuple[Value, ...]:
    nothing = Value("", kind="published")
    return (
        Value(attack, kind="published"),
        paper.size(attack),
        paper.ratio(attack),
        *[nothing] * 3,
        paper.alone(attack),
        paper.speed(attack, compared),
        nothing,
    )


def _alone(group: Group) -> float | None:
    seconds = group.cell["seconds_alone"]
    return None if seconds is None or math.isnan(seconds) else float(seconds)


def _one_size(group: Group) -> bool:
    """Whether all samples get steps of one size (the paper's FGSM), so that both norms say something."""
    return bool(group.cell["attack"] == "fgsm")


def _params(group: Group) -> dict[str, Any]:
    return dict(loads(group.cell["params"] or "{}"))


def _clipped(group: Group) -> bool:
    return bool(_params(group).get("clip", True))


def _names(block: Block) -> list[str]:
    """The attacks as the paper speaks of them; their full variant where that would not tell two apart."""
    short = [_short(group) for group in block.members]
    times = Counter(short)
    return [
        str(group.cell["variant"]) if times[name] > 1 else name
        for group, name in zip(block.members, short, strict=True)
    ]


def _short(group: Group) -> str:
    fraction = _params(group).get("fraction")
    name = str(group.cell["attack"]) + (f" {100 * fraction:g} %" if fraction else "")
    return name if _clipped(group) else f"{name}, unclipped"
