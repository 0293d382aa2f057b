"""Engstrom et al.: accuracy under rotations and translations, one column per way of looking for the worst one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["spatial"]

SEARCHES = ("random", "worst_of_k", "grid", "first_order")
COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False),
    Column("limits", "limits", numeric=False),
    Column("natural", "natural", "%", interval=True, better="higher"),
    Column("random", "random", "%", interval=True, better="higher"),
    Column("worst_of_k", "worst of k", "%", interval=True, better="higher"),
    Column("grid", "grid", "%", interval=True, better="higher"),
    Column("first_order", "first order", "%", interval=True, better="higher"),
    Column("n", "n", priority=2),
)
_REMARK = (
    "share of all n samples that are classified as their label after the transform; natural: without any; random: one "
    "uniform draw; worst of k: k draws; grid: every candidate; first order: gradient steps on the parameters; "
    "[95 % Wilson interval]"
)
_SEARCH = {"search", "k", "angles", "shifts", "scales", "steps", "step_size", "stop"}  # not part of the threat


@tables.register("spatial", "Engstrom et al.: accuracy under rotations and translations, by search.")
def spatial(results: Results) -> Table:
    notes = Footnotes()
    rows: dict[str, dict[str, Evaluation]] = {}
    for one in evaluations(results):
        if one.attack == "spatial" and not one.targeted:
            _place(rows, one)
    body = [_row(searches, notes) for searches in rows.values()]
    lines = [_REMARK, *notes.lines(results)] if rows else ["no cell of these results is a spatial attack"]
    if rows and results.run.get("reference") == "engstrom-readme":
        paper = references.load("engstrom-readme")
        body += [_published(row, paper.source) for row in paper.rows]
        lines.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    title = "Accuracy under rotations and translations"
    return Table("spatial", title, COLUMNS, tuple(body), tuple(lines), notes.shown())


def _place(rows: dict[str, dict[str, Evaluation]], one: Evaluation) -> None:
    """Beside the other searches of the same threat; in a row of its own where that search is there already."""
    threat = {key: value for key, value in one.params.items() if key not in _SEARCH}
    key = json.dumps([one.dataset, one.title, threat], sort_keys=True)
    while one.params["search"] in rows.setdefault(key, {}):
        key += "+"
    rows[key][one.params["search"]] = one


def _row(searches: dict[str, Evaluation], notes: Footnotes) -> Row:
    first = next(iter(searches.values()))
    ready = next((one for one in searches.values() if one.ok), None)
    head = {
        "dataset": label(first.dataset),
        "model": notes.name(first.title, first),
        "limits": label(first.limits),
        "natural": MISSING if ready is None else _share(ready["clean_correct"]),
        "n": count(len(ready) if ready else first.cell["n"]),
    }
    found = {search: _left(searches[search], notes) for search in SEARCHES if search in searches}
    return filled(COLUMNS, head | found, label(""))


def _left(one: Evaluation, notes: Footnotes) -> Value:
    """What one search left of the classifier."""
    notes.cells.add(one.id)
    if not one.ok:
        return Value("—", kind="missing", note=one.trouble, mark=notes.mark(one.trouble))
    return _share(one.correct, _effort(one, notes))


def _share(hits: npt.NDArray[np.bool_], mark: str = "") -> Value:
    return replace(share(wilson(int(hits.sum()), len(hits))), note="", mark=mark)


def _effort(one: Evaluation, notes: Footnotes) -> str:
    """The mark of a remark on how many candidates there were."""
    p = one.params
    grid = p["angles"] * p["shifts"] ** 2 * p["scales"]
    drawn = "" if not p["k"] else f", then {p['k']} draws"
    said = {
        "random": "",
        "worst_of_k": f"k = {10 if p['k'] is None else p['k']}",
        "grid": f"{grid} candidates: {p['angles']} angles, {p['shifts']} x {p['shifts']} shifts"
        + (f", {p['scales']} scales" if p["scales"] > 1 else "")
        + drawn,
        "first_order": f"{p['steps']} steps from {1 if p['k'] is None else p['k']} start(s)",
    }[p["search"]]
    return notes.mark(said) if said else ""


def _published(row: dict[str, Any], source: str) -> Row:
    numbers = {
        key: Value(f"{row[key]:g}", row[key], kind="published", note=source)
        for key in ("natural", *SEARCHES, "n")
        if key in row
    }
    head = {
        "dataset": label("ImageNet"),
        "model": Value(str(row["classifier"]), kind="published", note=source),
        "limits": label("±30°, ±24 px"),
    }
    return filled(COLUMNS, head | numbers, label(""))
