"""Moosavi-Dezfooli et al.'s Table 1: how many predictions one perturbation for all images changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables._transfer import changed
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["fooling_rate"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("attack", "attack", numeric=False, group=True),
    Column("model", "classifier", numeric=False),
    Column("norm", "norm", numeric=False),
    Column("size", "size", priority=2),
    Column("fit_n", "fitted on", priority=3),
    Column("fit", "fooled of these", "%", priority=3),
    Column("fooled", "fooled of others", "%", interval=True, better="higher"),
    Column("control", "random direction", "%", interval=True, priority=2),
    Column("dominant", "dominant label", "% of fooled", numeric=False, priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "fooled: the prediction is another one than on the clean image; fitted on: images that the perturbation was made "
    "from, none of which is among the n others; random direction: a random perturbation of the same size on the same "
    "n images; dominant label: the commonest new prediction; size: in the norm, linf on the 0-255 scale; "
    "[95 % Wilson interval]"
)


@tables.register("fooling_rate", "Moosavi-Dezfooli et al.'s Table 1: fooling rates of universal perturbations.")
def fooling_rate(results: Results) -> Table:
    notes = Footnotes()
    found = [g for g in groups(results) if g.cell["attack"] in _FITTED and g.model in (g.cell["sources"] or [])]
    order = list(dict.fromkeys(group.cell["variant"] for group in found))
    found.sort(key=lambda group: order.index(group.cell["variant"]))
    body = [tuple(_row(group, _names(results, group), notes)) for group in found]
    lines = [_REMARK, *notes.lines(results)] if found else ["no cell of these results has a universal perturbation"]
    if found and results.run.get("reference") == "uap-t1":
        papers = [references.load("uap-t1"), *([references.load("uap-fig6")] if _by_size(found) else [])]
        body += [row for paper in papers for row in _published(paper)]
        lines += [f"published: {paper.source}. {paper.protocol}" for paper in papers]
    return Table(
        "fooling_rate",
        "Fooling rate of one perturbation for all images",
        COLUMNS,
        tuple(body),
        tuple(lines),
        notes.shown(),
    )


_FITTED = ("universal", "universal_sgd")


def _names(results: Results, group: Group) -> list[str]:
    return list((results.run.get("classes") or {}).get(group.cell["dataset"]) or [])


def _row(group: Group, names: list[str], notes: Footnotes) -> Iterator[Value]:
    cell = group.cell
    yield from (label(cell["dataset"]), label(cell["variant"]), notes.name(group.model, group), label(cell["norm"]))
    yield number((cell["eps"] or 0) * (255 if cell["norm"] == "linf" else 1))
    yield count(cell["fit_n"])
    if not group.ok:
        yield from (*[MISSING] * 4, count(cell["n"], "label"))
        return
    yield number(100 * cell["fit_rate"])
    hit, control = changed(group), changed(group, "control_pred")
    yield share(wilson(int(hit.sum()), len(hit)))
    yield share(wilson(int(control.sum()), len(control)))
    yield _dominant(group["adv_pred"].astype(np.int64)[hit], names)
    yield count(len(hit))


def _dominant(predictions: np.ndarray, names: list[str]) -> Value:
    if len(predictions) == 0:
        return MISSING
    counts = np.bincount(predictions)
    top = int(counts.argmax())
    name = names[top] if top < len(names) else f"class {top}"
    return label(f"{name} {100 * counts[top] / len(predictions):.0f}")


def _by_size(found: list[Group]) -> bool:
    """Whether some attack ran with fitting sets of several sizes."""
    facts = {(g.cell["dataset"], g.cell["attack"], g.cell["norm"], g.cell["eps"], g.cell["fit_n"]) for g in found}
    return len(facts) > len({fact[:-1] for fact in facts})


def _published(paper: references.Reference) -> Iterator[tuple[Value, ...]]:
    """The paper's rows: classifier, norm, size, how many fitted on, fooled of these and of others."""

    def said(text: str) -> Value:
        return Value(text, kind="published", note=paper.source)

    def rate(percent: float) -> Value:
        return Value(f"{percent:g}", float(percent), kind="published", note=paper.source)

    head, tail = (label("ImageNet"), label("published")), (label(""), label(""), said("50000"))
    if paper.id == "uap-fig6":
        for row in paper.rows:
            yield (
                *head,
                said("GoogLeNet"),
                label(""),
                label(""),
                said(str(row["X"])),
                label(""),
                rate(row["fooling"]),
                *tail,
            )
        return
    for norm, size in (("l2", "2000/255"), ("linf", "10")):
        fitted, tested = paper.row(norm=norm, split="X") or {}, paper.row(norm=norm, split="val") or {}
        for model in [key for key in tested if key not in {"norm", "split"}]:
            rates = (rate(fitted[model]), rate(tested[model]))
            yield (*head, said(model), said(norm), said(size), said("10000"), *rates, *tail)
