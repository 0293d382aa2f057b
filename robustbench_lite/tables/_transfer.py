"""What the transfer tables share: one row per set of sources, one column per scored classifier, the paper's below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.schema import Row
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Matrix", "changed", "matrix", "unseen"]

MANY = 10  # above so many classes top-5 is said too
SEEN, UNSEEN = "white box", "black box"
_FACTS = frozenset({"row", "rmsd"})  # of a published row; its other keys are classifiers


@dataclass(frozen=True)
class Matrix:
    """One kind of transfer table: which cells it takes, what it counts, and which published tables belong to it."""

    name: str
    title: str
    rank: Literal["label_rank", "target_rank"] | None  # of the class that is counted; None: predictions that changed
    marked: Literal["white box", "black box"]  # which entries carry the mark; the others are averaged
    takes: Callable[[Row], bool]
    row: Callable[[Row], str]
    reference: Callable[[Row], str | None]
    remarks: tuple[str, ...]
    control: bool = False  # a row of what a random perturbation of the same size does
    pairwise: bool = False  # an entry is about its row and column only, so a part of the published table is one too


def unseen(cell: Row) -> list[str]:
    """The scored classifiers that the attack did not see."""
    return [model for model in cell["models"] or [] if model not in (cell["sources"] or [])]


def matrix(kind: Matrix, results: Results) -> Table:
    """The table of this kind for all data sets and attacks of the results."""
    notes = Footnotes()
    cells: dict[str, list[Group]] = {}
    for group in groups(results):
        if len(group.cell["models"] or []) > 1 and kind.takes(group.cell):
            cells.setdefault(group.cell["cell"], []).append(group)
    blocks: dict[tuple[str, str], list[list[Group]]] = {}
    for members in cells.values():
        blocks.setdefault((members[0].cell["dataset"], members[0].cell["variant"]), []).append(members)
    models = list(dict.fromkeys(group.model for members in cells.values() for group in members))
    columns = _theirs(results, models)
    rows = [row for block in blocks.values() for row in _block(kind, block, models, columns, notes)]
    footnotes = [*kind.remarks, *_sources(kind, blocks, columns), *notes.lines(results)]
    if not cells:
        footnotes = [f"no cell of these results belongs in this table: {kind.remarks[0]}", *notes.lines(results)]
    return Table(kind.name, kind.title, _columns(kind, models), tuple(rows), tuple(footnotes), notes.shown())


def _columns(kind: Matrix, models: list[str]) -> tuple[Column, ...]:
    other = UNSEEN if kind.marked == SEEN else SEEN
    return (
        Column("dataset", "dataset", numeric=False, group=True),
        Column("attack", "attack", numeric=False, group=True),
        Column("row", "sources", numeric=False),
        Column("top", "top", priority=2),
        Column("rmsd", "RMSD", priority=2),
        *(Column(model, model, "%", interval=True, named=True) for model in models),
        Column("others", f"mean, {other}", "%", interval=True, priority=2),
        Column("n", "n", priority=2),
    )


def _block(
    kind: Matrix, block: list[list[Group]], models: list[str], columns: list[str], notes: Footnotes
) -> Iterator[tuple[Value, ...]]:
    """Our rows, then the paper's."""
    cell = block[0][0].cell
    heading = (label(cell["dataset"]), label(cell["variant"]))
    for members in block:
        for top in (1, 5) if kind.rank and (members[0].cell["classes"] or 0) > MANY else (1,):
            yield (*heading, *_row(kind, members, models, top, notes))
    if kind.control:
        yield (*heading, *_random(block, models))
    paper = _paper(kind, block, columns)
    for row in paper.rows if paper else ():
        nothing = Value("", kind="published")
        values = [value for key, value in row.items() if key not in _FACTS]
        entries = [Value(f"{value:g}", value, kind="published", note=paper.source if paper else "") for value in values]
        yield (
            *heading,
            Value(str(row["row"]), kind="published"),
            Value("1", 1.0, kind="published"),
            Value(f"{row['rmsd']:g}", row["rmsd"], kind="published") if "rmsd" in row else nothing,
            *entries,
            nothing,
            nothing,
        )


def _row(kind: Matrix, members: list[Group], models: list[str], top: int, notes: Footnotes) -> Iterator[Value]:
    first, by_model = members[0], {group.model: group for group in members}
    hidden = unseen(first.cell)
    yield notes.name(kind.row(first.cell), first)
    yield count(top, "label")
    distortion = first["rmsd"].astype(np.float64).mean() if first.ok else None
    yield number(distortion, 4)
    averaged = []
    for model in models:
        group = by_model.get(model)
        if group is None or not group.ok:
            yield MISSING
            continue
        hit, marked = _hits(group, kind, top), (model in hidden) == (kind.marked == UNSEEN)
        value = share(wilson(int(hit.sum()), len(hit)))
        if marked:
            value = replace(value, note=kind.marked, mark="*")
        else:
            averaged.append(hit)
        yield value
    if averaged:
        yield share(wilson(float(np.mean(averaged)) * len(first.rows), len(first.rows)))
    else:
        yield MISSING
    yield count(len(first.rows) if first.ok else first.cell["n"])


def _hits(group: Group, kind: Matrix, top: int) -> npt.NDArray[np.bool_]:
    """Whether the class that is counted is among the `top` highest."""
    if kind.rank is None:
        return changed(group)
    found: npt.NDArray[np.bool_] = group[kind.rank].astype(np.int64) < top
    return found


def changed(group: Group, column: str = "adv_pred") -> npt.NDArray[np.bool_]:
    """Whether the prediction in `column` is another one than on the clean image."""
    found: npt.NDArray[np.bool_] = group[column].astype(np.int64) != group["clean_pred"].astype(np.int64)
    return found


def _random(block: list[list[Group]], models: list[str]) -> Iterator[Value]:
    """What a random perturbation of the same size does to each classifier: the one drawn for its own perturbation."""
    own = {group.model: group for members in block for group in members if group.cell["source"] == group.model}
    yield from (label("random direction"), label(""), label(""))
    for model in models:
        group = own.get(model)
        if group is None or not group.ok:
            yield MISSING
        else:
            hit = changed(group, "control_pred")
            yield share(wilson(int(hit.sum()), len(hit)))
    yield from (label(""), count(max((len(group.rows) for group in own.values()), default=0)))


def _theirs(results: Results, models: list[str]) -> list[str]:
    """What papers call our classifiers; empty for one that is in none."""
    names = results.run.get("published")
    known = names if isinstance(names, dict) else {}
    return [str((known.get(model) or {}).get("classifier", "")) for model in models]


def _paper(kind: Matrix, block: list[list[Group]], ours: list[str]) -> references.Reference | None:
    """The published table, where it has as many classifiers as ours; of a pairwise one the part that fits.

    That is the part on our classifiers where the paper has all of them, else its first ones.
    """
    name = kind.reference(block[0][0].cell)
    found = references.load(name) if name else None
    if found is None or not found.shown:
        return None
    theirs = [key for key in found.rows[0] if key not in _FACTS]
    if not kind.pairwise or len(ours) > len(theirs):
        return found if len(theirs) == len(ours) else None
    chosen = ours if set(ours) <= set(theirs) else theirs[: len(ours)]
    rows = [row for name in chosen for row in found.rows if row["row"] == name]
    return replace(
        found,
        rows=tuple({key: row[key] for key in row if key in _FACTS} | {key: row[key] for key in chosen} for row in rows),
    )


def _sources(kind: Matrix, blocks: dict[tuple[str, str], list[list[Group]]], ours: list[str]) -> list[str]:
    """Where the published rows come from, and whose columns they are."""
    out = []
    for block in blocks.values():
        paper = _paper(kind, block, ours)
        if paper:
            theirs = ", ".join(key for key in paper.rows[0] if key not in _FACTS)
            out.append(f"published: {paper.source}; its columns are, in this order, {theirs}. {paper.protocol}")
    return list(dict.fromkeys(out))
