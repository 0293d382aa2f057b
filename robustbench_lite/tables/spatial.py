"""Engstrom et al.: accuracy under rotations and translations, one column per way of looking for the worst one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.results.evaluation import Group, groups, limits
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, share

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
    rows: dict[str, dict[str, Group]] = {}
    for group in groups(results):
        if group.cell["attack"] == "spatial" and group.cell["goal"] != "target":
            _place(rows, group, json.loads(group.cell["params"]))
    body = [tuple(_row(searches, notes)) for searches in rows.values()]
    lines = [_REMARK, *notes.lines(results)] if rows else ["no cell of these results is a spatial attack"]
    if rows and results.run.get("reference") == "engstrom-readme":
        paper = references.load("engstrom-readme")
        body += [tuple(_published(row, paper.source)) for row in paper.rows]
        lines.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    return Table(
        "spatial", "Accuracy under rotations and translations", COLUMNS, tuple(body), tuple(lines), notes.shown()
    )


def _place(rows: dict[str, dict[str, Group]], group: Group, params: dict[str, Any]) -> None:
    """Beside the other searches of the same threat; in a row of its own where that search is there already."""
    threat = {key: value for key, value in params.items() if key not in _SEARCH}
    key = json.dumps([group.cell["dataset"], group.title, threat], sort_keys=True)
    while params["search"] in rows.setdefault(key, {}):
        key += "+"
    rows[key][params["search"]] = group


def _row(searches: dict[str, Group], notes: Footnotes) -> Iterator[Value]:
    first = next(iter(searches.values()))
    ready = next((group for group in searches.values() if group.ok), None)
    yield label(first.cell["dataset"])
    yield notes.name(first.title, first)
    yield label(limits(first.cell))
    yield MISSING if ready is None else _share(ready["clean_correct"])
    for search in SEARCHES:
        group = searches.get(search)
        if group is None:
            yield Value("", kind="label")
            continue
        notes.cells.add(str(group.cell["cell"]))
        if not group.ok:
            yield Value("—", kind="missing", note=group.trouble, mark=notes.mark(group.trouble))
        else:
            yield _share(group["adv_pred"] == group["label"], _effort(group, notes))
    yield count(len(ready.rows) if ready else first.cell["n"])


def _share(hits: Any, mark: str = "") -> Value:
    found = share(wilson(int(np.sum(hits)), len(hits)))
    return Value(found.text, found.value, found.low, found.high, found.n, mark=mark)


def _effort(group: Group, notes: Footnotes) -> str:
    """The mark of a remark on how many candidates there were."""
    p = json.loads(group.cell["params"])
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


def _published(row: dict[str, Any], source: str) -> Iterator[Value]:
    yield label("ImageNet")
    yield Value(str(row["classifier"]), kind="published", note=source)
    yield label("±30°, ±24 px")
    for key in ("natural", *SEARCHES, "n"):
        yield Value(f"{row[key]:g}", row[key], kind="published", note=source) if key in row else Value("", kind="label")
