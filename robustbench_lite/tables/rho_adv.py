"""DeepFool's Tables 1 and 2: the mean relative size of minimal perturbations, with times, beside the published ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
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
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share, spread

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
_NUMBERS = ("rho", "ratio", "success", "median", "ms", "ms_alone", "speed")
_NOTHING = Value("", kind="published")
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
    members: tuple[Evaluation, ...]
    paper: Published | None

    def rho(self, one: Evaluation) -> npt.NDArray[np.float64]:
        """(n,) sizes in the norm of the block."""
        return one["rho" if self.norm == "l2" else "rho_linf"]

    def deepfool(self, other: Evaluation) -> Evaluation | None:
        """The DeepFool cell that `other` is compared with: clipped as it is, where there is a choice."""
        found = [one for one in self.members if one.attack == "deepfool" and one.ok]
        same = [one for one in found if one.clipped == other.clipped]
        return next(iter(same or found), None)


@tables.register("rho_adv", "DeepFool's Tables 1 and 2: rho_adv, success, time per sample, and the published rows.")
def rho_adv(results: Results) -> Table:
    notes = Footnotes()
    blocks = list(_blocks(results))
    rows = tuple(row for block in blocks for row in _rows(block, notes))
    remarks = [_REMARK, *(REMARKS if any(block.paper for block in blocks) else ())]
    if not blocks:
        remarks = ["no attack in these results looks for minimal perturbations (deepfool, lbfgs, fgsm with fraction)"]
    title = "rho_adv: the mean relative size of minimal perturbations"
    return Table("rho_adv", title, COLUMNS, rows, (*remarks, *notes.lines(results)), notes.shown())


def _blocks(results: Results) -> Iterator[Block]:
    """Per classifier: the l2 block, then the linf block where an attack minimises linf. One epsilon: in both."""
    found = [one for one in evaluations(results) if one.epsilon is None and one.attack and one.own]
    for dataset, model in dict.fromkeys((one.dataset, one.model) for one in found):
        own = [one for one in found if (one.dataset, one.model) == (dataset, model)]
        order = list(dict.fromkeys(one.attack for one in own))
        own.sort(key=lambda one: order.index(one.attack))
        minimal = {one.norm for one in own if not _one_size(one)}
        for norm in ("l2", "linf"):
            if norm in minimal or (norm == "l2" and not minimal):
                members = tuple(one for one in own if _one_size(one) or one.norm == norm)
                yield Block(dataset, model, norm, members, published(results.run, model, norm))


def _rows(block: Block, notes: Footnotes) -> Iterator[Row]:
    names = _names(block)
    alone = [one.seconds_alone for one in block.members if one.ok]
    slowest = max((seconds for seconds in alone if seconds), default=None)
    heading = _heading(block)
    compared = {one.attack for one in block.members if one.ok}
    for i, one in enumerate(block.members):
        yield heading | _measured(block, one, names[i], slowest, notes)
        last = i + 1 == len(block.members) or block.members[i + 1].attack != one.attack
        if block.paper and last and block.paper.rho(one.attack) is not None:
            yield filled(COLUMNS, heading | _as_published(block.paper, one.attack, compared), _NOTHING)


def _heading(block: Block) -> dict[str, Value]:
    errors = [one.cell["card_test_error"] for one in block.members if one.cell["card_test_error"] is not None]
    correct = next((one["clean_correct"] for one in block.members if one.ok), None)
    return {
        "model": label(block.model),
        "dataset": label(block.dataset),
        "norm": label(block.norm),
        "error": number(errors[0]) if errors else label(""),
        "error_published": block.paper.error() if block.paper else label(""),
        "error_here": label("") if correct is None else share(wilson(int((~correct).sum()), len(correct))),
    }


def _measured(block: Block, one: Evaluation, name: str, slowest: float | None, notes: Footnotes) -> dict[str, Value]:
    """The columns that are not said in the heading."""
    title = {"attack": notes.name(name, one)}
    if not one.ok:
        return title | dict.fromkeys(_NUMBERS, MISSING) | {"n": count(one.cell["n"], "label")}
    rho, short, alone = block.rho(one), _short_of(one), one.seconds_alone
    marks = "".join(notes.mark(f"{one.model}, {name}: {note}") for note in one.cell["notes"] or [])
    undefined = int((~np.isfinite(rho)).sum())
    if undefined:
        marks += notes.mark(f"||r|| / ||x|| is not defined on {undefined} of {len(rho)} samples: their image is zero")
    return title | {
        "rho": Value("—", kind="missing", note=short, mark=marks) if short else _mean(one, rho, marks),
        "ratio": MISSING if short else _ratio(block, one),
        "success": share(wilson(int(one.success.sum()), len(one)), interval=False),
        "median": MISSING if short == _SHORT else _middle(rho, one.success, interval=bool(short)),
        "ms": number(None if one.cell["seconds"] is None else 1000 * one.cell["seconds"] / len(one)),
        "ms_alone": number(None if alone is None else 1000 * alone),
        "speed": number(slowest / alone if slowest and alone else None, 2, "derived"),
        "n": count(len(one)),
    }


def _short_of(one: Evaluation) -> str:
    """Why there is no mean; empty where there is one. A share that was asked for is enough: that is the protocol."""
    if one.fraction:
        near = one.success.sum() + 1  # a near tie may fall either way
        return "" if near >= one.fraction * len(one) else _SHORT
    return "" if one.success.mean() >= ENOUGH else _WITHHELD


def _mean(one: Evaluation, rho: npt.NDArray[np.float64], marks: str) -> Value:
    """Of one size for all samples the mean of all: who withstands it has seen it too."""
    found = bootstrap_mean(rho) if one.fraction else size_of(rho, one.success).estimate
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


def _ratio(block: Block, one: Evaluation) -> Value:
    base = block.deepfool(one)
    if base is None or base is one:
        return MISSING if base is None else Value("1", 1.0, kind="derived")
    if _short_of(base):
        return Value("—", kind="missing", note="DeepFool's own mean is withheld")
    if one.samples != base.samples:
        return Value("—", kind="missing", note="not the same samples as DeepFool's")
    kept = (one.success | bool(one.fraction)) & base.success
    return spread(bootstrap_ratio(block.rho(one)[kept], block.rho(base)[kept]), kind="derived")


def _as_published(paper: Published, attack: str, compared: set[str]) -> dict[str, Value]:
    return {
        "attack": Value(attack, kind="published"),
        "rho": paper.size(attack),
        "ratio": paper.ratio(attack),
        "ms_alone": paper.alone(attack),
        "speed": paper.speed(attack, compared),
    }


def _one_size(one: Evaluation) -> bool:
    """Whether all samples get steps of one size (the paper's FGSM), so that both norms say something."""
    return one.attack == "fgsm"


def _names(block: Block) -> list[str]:
    """The attacks as the paper speaks of them; their full variant where that would not tell two apart."""
    short = [_short(one) for one in block.members]
    times = Counter(short)
    return [one.variant if times[name] > 1 else name for one, name in zip(block.members, short, strict=True)]


def _short(one: Evaluation) -> str:
    name = one.attack + (f" {100 * one.fraction:g} %" if one.fraction else "")
    return name if one.clipped else f"{name}, unclipped"
