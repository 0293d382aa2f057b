"""What the transfer tables share: one row per set of sources, one column per scored classifier, the paper's below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Row, Table, Value, filled
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Matrix", "changed", "matrix", "without"]

MANY = 10  # above so many classes top-5 is said too
SEEN, UNSEEN = "white box", "black box"
_OTHERS = frozenset({"dataset", "attack", "row", "top", "rmsd", "others", "n"})  # columns that are no classifier
_FACTS = frozenset({"row", "rmsd"})  # of a published row; its other keys are classifiers


@dataclass(frozen=True)
class Matrix:
    """One kind of transfer table: which cells it takes, what it counts, and which published tables belong to it."""

    name: str
    title: str
    rank: Literal["label_rank", "target_rank"] | None  # of the class that is counted; None: predictions that changed
    marked: Literal["white box", "black box"]  # which entries carry the mark; the others are averaged
    takes: Callable[[Evaluation], bool]
    row: Callable[[Evaluation], str]
    reference: Callable[[Evaluation], str | None]
    remarks: tuple[str, ...]
    control: bool = False  # a row of what a random perturbation of the same size does
    pairwise: bool = False  # an entry is about its row and column only, so a part of the published table is one too


def without(one: Evaluation) -> str:
    """Whom an ensemble leaves out, as the rows of the published tables are called."""
    return ", ".join(f"-{model}" for model in one.unseen) or "none left out"


@dataclass(frozen=True)
class _Block:
    """The cells of one attack on one dataset, each with its classifiers, and the columns that they all share."""

    kind: Matrix
    members: list[list[Evaluation]]
    models: dict[str, str]  # the key of each classifier's column
    columns: tuple[Column, ...]
    paper: references.Reference | None

    @property
    def heading(self) -> dict[str, Value]:
        one = self.members[0][0]
        return {"dataset": label(one.dataset), "attack": label(one.variant)}


def matrix(kind: Matrix, results: Results) -> Table:
    """The table of this kind for all data sets and attacks of the results."""
    notes = Footnotes()
    cells: dict[str, list[Evaluation]] = {}
    for one in evaluations(results):
        if len(one.targets) > 1 and kind.takes(one):
            cells.setdefault(one.id, []).append(one)
    groups: dict[tuple[str, str], list[list[Evaluation]]] = {}
    for members in cells.values():
        groups.setdefault((members[0].dataset, members[0].variant), []).append(members)
    models = _keys(dict.fromkeys(one.model for members in cells.values() for one in members))
    columns, theirs = _columns(kind, models), _theirs(results, list(models))
    blocks = [_Block(kind, group, models, columns, _paper(kind, group, theirs)) for group in groups.values()]
    rows = tuple(row for block in blocks for row in _rows(block, notes))
    footnotes = [*kind.remarks, *_sources(blocks), *notes.lines(results)]
    if not cells:
        footnotes = [f"no cell of these results belongs in this table: {kind.remarks[0]}", *notes.lines(results)]
    return Table(kind.name, kind.title, columns, rows, tuple(footnotes), notes.shown())


def _keys(models: Iterable[str]) -> dict[str, str]:
    """The key of each classifier's column: its name, unless a column of another kind has that."""
    return {model: f"{model} (classifier)" if model in _OTHERS else model for model in models}


def _columns(kind: Matrix, models: dict[str, str]) -> tuple[Column, ...]:
    other = UNSEEN if kind.marked == SEEN else SEEN
    return (
        Column("dataset", "dataset", numeric=False, group=True),
        Column("attack", "attack", numeric=False, group=True),
        Column("row", "sources", numeric=False),
        Column("top", "top", priority=2),
        Column("rmsd", "RMSD", priority=2),
        *(Column(key, model, "%", interval=True, named=True) for model, key in models.items()),
        Column("others", f"mean, {other}", "%", interval=True, priority=2),
        Column("n", "n", priority=2),
    )


def _rows(block: _Block, notes: Footnotes) -> Iterator[Row]:
    """Our rows, then the paper's."""
    for members in block.members:
        for top in (1, 5) if block.kind.rank and (members[0].cell["classes"] or 0) > MANY else (1,):
            yield block.heading | _row(block, members, top, notes)
    if block.kind.control:
        yield filled(block.columns, block.heading | _random(block), label(""))
    for row in block.paper.rows if block.paper else ():
        yield _published(block, row)


def _published(block: _Block, row: dict[str, Any]) -> Row:
    def said(value: float) -> Value:
        return Value(f"{value:g}", value, kind="published", note=block.paper.source if block.paper else "")

    values = [value for key, value in row.items() if key not in _FACTS]
    entries = {key: said(value) for key, value in zip(block.models.values(), values, strict=True)}
    known = block.heading | entries
    known |= {"row": Value(str(row["row"]), kind="published"), "top": Value("1", 1.0, kind="published")}
    if "rmsd" in row:
        known["rmsd"] = Value(f"{row['rmsd']:g}", row["rmsd"], kind="published")
    return filled(block.columns, known, Value("", kind="published"))


def _row(block: _Block, members: list[Evaluation], top: int, notes: Footnotes) -> dict[str, Value]:
    kind, first, by_model = block.kind, members[0], {one.model: one for one in members}
    values = {
        "row": notes.name(kind.row(first), first),
        "top": count(top, "label"),
        "rmsd": number(float(first["rmsd"].mean()) if first.ok else None, 4),
        "others": MISSING,
        "n": count(len(first) if first.ok else first.cell["n"]),
    }
    averaged = []
    for model, key in block.models.items():
        one = by_model.get(model)
        if one is None or not one.ok:
            values[key] = MISSING
            continue
        hit = _hits(one, kind, top)
        values[key] = share(wilson(int(hit.sum()), len(hit)))
        if one.white_box == (kind.marked == SEEN):
            values[key] = replace(values[key], note=kind.marked, mark="*")
        else:
            averaged.append(hit)
    if averaged:
        values["others"] = share(wilson(float(np.mean(averaged)) * len(first), len(first)))
    return values


def _hits(one: Evaluation, kind: Matrix, top: int) -> npt.NDArray[np.bool_]:
    """Whether the class that is counted is among the `top` highest."""
    if kind.rank is None:
        return changed(one)
    return np.asarray(one[kind.rank].astype(np.int64) < top)


def changed(one: Evaluation, column: str = "adv_pred") -> npt.NDArray[np.bool_]:
    """Whether the prediction in `column` is another one than on the clean image."""
    return np.asarray(one[column].astype(np.int64) != one["clean_pred"])


def _random(block: _Block) -> dict[str, Value]:
    """What a random perturbation of the same size does to each classifier: the one drawn for its own perturbation."""
    own = {one.model: one for members in block.members for one in members if one.own}
    values = {"row": label("random direction")}
    for model, key in block.models.items():
        one = own.get(model)
        if one is None or not one.ok:
            values[key] = MISSING
        else:
            hit = changed(one, "control_pred")
            values[key] = share(wilson(int(hit.sum()), len(hit)))
    return values | {"n": count(max((len(one) for one in own.values()), default=0))}


def _theirs(results: Results, models: list[str]) -> list[str]:
    """What papers call our classifiers; empty for one that is in none."""
    names = results.run.get("published")
    known = names if isinstance(names, dict) else {}
    return [str((known.get(model) or {}).get("classifier", "")) for model in models]


def _paper(kind: Matrix, members: list[list[Evaluation]], ours: list[str]) -> references.Reference | None:
    """The published table, where it has as many classifiers as ours; of a pairwise one the part that fits.

    That is the part on our classifiers where the paper has all of them, else its first ones.
    """
    name = kind.reference(members[0][0])
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


def _sources(blocks: list[_Block]) -> list[str]:
    """Where the published rows come from, and whose columns they are."""
    out = []
    for paper in (block.paper for block in blocks if block.paper):
        theirs = ", ".join(key for key in paper.rows[0] if key not in _FACTS)
        out.append(f"published: {paper.source}; its columns are, in this order, {theirs}. {paper.protocol}")
    return list(dict.fromkeys(out))
