"""Moosavi-Dezfooli et al.'s Table 1: how many predictions one perturbation for all images changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables._transfer import changed
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share
from robustbench_lite.text import percent

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
    found = [one for one in evaluations(results) if one.fitted and one.white_box]
    order = list(dict.fromkeys(one.variant for one in found))
    found.sort(key=lambda one: order.index(one.variant))
    body = [_row(one, class_names(results, one.dataset), notes) for one in found]
    lines = [_REMARK, *notes.lines(results)] if found else ["no cell of these results has a universal perturbation"]
    if found and results.run.get("reference") == "uap-t1":
        papers = [references.load("uap-t1"), *([references.load("uap-fig6")] if _by_size(found) else [])]
        body += [row for paper in papers for row in _published(paper)]
        lines += [f"published: {paper.source}. {paper.protocol}" for paper in papers]
    title = "Fooling rate of one perturbation for all images"
    return Table("fooling_rate", title, COLUMNS, tuple(body), tuple(lines), notes.shown())


def _row(one: Evaluation, names: list[str], notes: Footnotes) -> Row:
    cell = one.cell
    head = {
        "dataset": label(one.dataset),
        "attack": label(one.variant),
        "model": notes.name(one.model, one),
        "norm": label(one.norm),
        "size": number((one.epsilon or 0) * (255 if one.norm == "linf" else 1)),
        "fit_n": count(cell["fit_n"]),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(cell["n"], "label")}, MISSING)
    hit, control = changed(one), changed(one, "control_pred")
    return head | {
        "fit": number(100 * cell["fit_rate"]),
        "fooled": share(wilson(int(hit.sum()), len(hit))),
        "control": share(wilson(int(control.sum()), len(control))),
        "dominant": _dominant(one["adv_pred"][hit], names),
        "n": count(len(hit)),
    }


def _dominant(predictions: npt.NDArray[np.int64], names: list[str]) -> Value:
    if len(predictions) == 0:
        return MISSING
    counts = np.bincount(predictions)
    top = int(counts.argmax())
    name = names[top] if top < len(names) else f"class {top}"
    return label(f"{name} {percent(counts[top] / len(predictions), 0)}")


def _by_size(found: list[Evaluation]) -> bool:
    """Whether some attack ran with fitting sets of several sizes."""
    facts = {(one.dataset, one.attack, one.norm, one.epsilon, one.cell["fit_n"]) for one in found}
    return len(facts) > len({fact[:-1] for fact in facts})


def _published(paper: references.Reference) -> Iterator[Row]:
    """The paper's rows: classifier, norm, size, how many fitted on, fooled of these and of others."""

    def said(text: str) -> Value:
        return Value(text, kind="published", note=paper.source)

    def rate(percent: float) -> Value:
        return Value(f"{percent:g}", float(percent), kind="published", note=paper.source)

    def line(**known: Value) -> Row:
        return filled(COLUMNS, {**head, **known, "n": said("50000")}, label(""))

    head = {"dataset": label("ImageNet"), "attack": label("published")}
    if paper.id == "uap-fig6":
        for row in paper.rows:
            yield line(model=said("GoogLeNet"), fit_n=said(str(row["X"])), fooled=rate(row["fooling"]))
        return
    for norm, size in (("l2", "2000/255"), ("linf", "10")):
        fitted, tested = paper.row(norm=norm, split="X") or {}, paper.row(norm=norm, split="val") or {}
        for model in [key for key in tested if key not in {"norm", "split"}]:
            facts = {"model": said(model), "norm": said(norm), "size": said(size), "fit_n": said("10000")}
            yield line(**facts, fit=rate(fitted[model]), fooled=rate(tested[model]))
