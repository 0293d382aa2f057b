"""DeepFool's Tables 1 and 2: the mean relative size of minimal perturbations, with times, beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from json import loads
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from robustbench_lite.measure import bootstrap_mean, bootstrap_ratio, median_with_failures, wilson
from robustbench_lite.references import Reference, load
from robustbench_lite.table import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, Group, groups, label, number, share, spread

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["rho_adv"]

Norm = Literal["l2", "linf"]
COLUMNS = (
    Column("model", "classifier", numeric=False),
    Column("error", "test error", "%"),
    Column("attack", "attack", numeric=False),
    Column("rho", "rho_adv [95 % interval]"),
    Column("ratio", "to DeepFool", "x"),
    Column("success", "success", "%"),
    Column("median", "median"),
    Column("ms", "batch", "ms"),
    Column("ms_alone", "alone", "ms"),
    Column("speed", "speed", "x"),
    Column("n", "n"),
)
_PUBLISHED: dict[Norm, str] = {"l2": "deepfool-t1", "linf": "deepfool-t2"}


@dataclass(frozen=True)
class Block:
    """The attacks on one classifier whose perturbations are measured in one norm."""

    dataset: str
    model: str
    norm: Norm
    members: tuple[Group, ...]

    def rho(self, group: Group) -> np.ndarray[Any, np.dtype[np.float64]]:
        return group["rho" if self.norm == "l2" else "rho_linf"].astype(np.float64)

    def deepfool(self, group: Group) -> Group | None:
        """The DeepFool cell that is comparable with `group`: clipped as it is, where there is a choice."""
        found = [one for one in self.members if one.cell["attack"] == "deepfool" and one.ok]
        same = [one for one in found if _clipped(one) == _clipped(group)]
        return next(iter(same or found), None)


@tables.register("rho_adv", "DeepFool's Tables 1 and 2: rho_adv, success, time per sample, and the published rows.")
def rho_adv(results: Results) -> Table:
    notes = Footnotes()
    rows: list[tuple[Value, ...]] = []
    blocks = list(_blocks(results))
    for block in blocks:
        rows += _rows(block, results, notes)
    norms = ", ".join(sorted({block.norm for block in blocks}))
    return Table(
        "rho_adv",
        f"rho_adv: mean relative size of the perturbation ({norms})",
        COLUMNS,
        tuple(rows),
        (*_remarks(rows), *notes.lines()),
    )


def _remarks(rows: list[tuple[Value, ...]]) -> Iterator[str]:
    yield (
        "rho_adv: mean over all samples of ||r|| / ||x||; median: failures count as infinite; batch, alone: per sample "
        "in a full batch and at batch size 1; speed: times faster than the slowest attack on this classifier (batch)"
    )
    if any(row[0].kind == "published" for row in rows):
        yield (
            "published: Moosavi-Dezfooli et al., CVPR 2016, Tables 1 and 2. Their x is the network's input after "
            "preprocessing (for MNIST the mean image is subtracted, which shrinks ||x||), so absolute values differ "
            "from ours on [0, 1] pixels, while ratios between attacks can be compared. Their times are of one 2015 "
            "laptop, one image at a time; only ratios of times mean something"
        )


def _blocks(results: Results) -> Iterator[Block]:
    """Per dataset and classifier: the l2 block, then the linf block where a minimal linf attack ran."""
    found = [group for group in groups(results) if group.cell["eps"] is None and group.cell["attack"] is not None]
    for dataset, model in dict.fromkeys((group.cell["dataset"], group.cell["source"]) for group in found):
        own = [group for group in found if (group.cell["dataset"], group.cell["source"]) == (dataset, model)]
        sign = [group for group in own if group.cell["attack"] == "fgsm"]  # one epsilon for all: in both tables
        minimal = {norm: [g for g in own if g.cell["norm"] == norm and g not in sign] for norm in _PUBLISHED}
        if minimal["l2"] or not minimal["linf"]:
            yield Block(dataset, model, "l2", (*minimal["l2"], *sign))
        if minimal["linf"]:
            yield Block(dataset, model, "linf", (*minimal["linf"], *(g for g in sign if g.cell["norm"] == "linf")))


def _rows(block: Block, results: Results, notes: Footnotes) -> Iterator[tuple[Value, ...]]:
    ordered = sorted(block.members, key=lambda group: (group.cell["attack"], group.cell["variant"]))
    seconds = [group.cell["seconds"] / group.cell["n"] for group in ordered if group.ok]
    slowest = max(seconds, default=float("nan"))
    reference = load(_PUBLISHED[block.norm])
    name = results.run.get("published", {}).get(block.model, {})
    published = reference.row(**name) if name and reference.shown else None
    for i, group in enumerate(ordered):
        first = i == 0
        yield _measured(block, group, slowest, notes, first=first)
        last = i + 1 == len(ordered) or ordered[i + 1].cell["attack"] != group.cell["attack"]
        if published and last:
            yield _as_published(block, str(group.cell["attack"]), reference, published)


def _measured(block: Block, group: Group, slowest: float, notes: Footnotes, *, first: bool) -> tuple[Value, ...]:
    cell = group.cell
    title = block.model if first else f"  {block.dataset}, {block.norm}"
    error = number(cell["card_test_error"], 3) if first else label("")
    head = (label(title), error, label(_name(group) + notes.of(cell)))
    if not group.ok:
        return (*head, *[MISSING] * 7, Value(str(cell["n"]), cell["n"]))
    rho, success = block.rho(group), group["success"].astype(bool)
    per_sample = cell["seconds"] / cell["n"]
    marks = "".join(f" {notes.mark(f'{block.model}, {_name(group)}: {note}')}" for note in cell["notes"] or [])
    mean = spread(bootstrap_mean(rho))
    return (
        *head,
        Value(mean.text + marks, mean.value, mean.low, mean.high, mean.n),
        _ratio(block, group),
        share(wilson(int(success.sum()), len(success)), interval=False),
        number(median_with_failures(rho, success)),
        number(1000 * per_sample),
        number(None if cell["seconds_alone"] is None else 1000 * cell["seconds_alone"]),
        number(slowest / per_sample, 2),
        Value(str(len(rho)), len(rho)),
    )


def _ratio(block: Block, group: Group) -> Value:
    base = block.deepfool(group)
    if base is None or base is group:
        return MISSING if base is None else Value("1", 1.0, kind="derived")
    if list(base["sample"]) != list(group["sample"]):
        return Value("—", kind="missing", note="not the same samples as DeepFool's")
    ratio = bootstrap_ratio(block.rho(group), block.rho(base))
    return Value(number(ratio.value).text, ratio.value, ratio.low, ratio.high, ratio.n, "derived")


def _as_published(block: Block, attack: str, reference: Reference, row: dict[str, Any]) -> tuple[Value, ...]:
    """The paper's numbers for one attack, in the same columns."""
    key = f"rho_adv_{attack}" if block.norm == "l2" else attack
    base = "rho_adv_deepfool" if block.norm == "l2" else "deepfool"

    def say(value: float | None, digits: int = 3) -> Value:
        return number(value, digits, "published", reference.source)

    rho = row.get(key)
    milliseconds, bound = row.get(f"time_{attack}_ms"), row.get(f"time_{attack}_ms_lower_bound")
    alone = say(milliseconds) if bound is None else Value(f">{bound}", bound, kind="published", note=reference.source)
    ratio = None if rho is None else rho / row[base]
    return (
        Value("  published", kind="published", note=reference.source),
        say(row.get("test_error_pct")),
        Value(attack, kind="published"),
        say(rho, 2),
        say(ratio, 2),
        *[MISSING] * 3,
        alone,
        *[MISSING] * 2,
    )


def _clipped(group: Group) -> bool:
    return bool(loads(group.cell["params"]).get("clip", True))


def _name(group: Group) -> str:
    """The attack as the paper speaks of it, and whether its images are valid."""
    params = loads(group.cell["params"])
    name = str(group.cell["attack"])
    if params.get("fraction"):
        name += f" {100 * params['fraction']:g} %"
    return name if _clipped(group) else f"{name}, unclipped"
