"""The rows behind the page's comparisons, small enough to ship: predictions, labels and sizes of shared samples."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from robustbench_lite.figures.svg import PALETTE, round_up
from robustbench_lite.report.charts import DASHES
from robustbench_lite.report.pictures import told_apart
from robustbench_lite.report.thumbnails import Thumbnails
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.text import for_script, visible

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["MOST_CELLS", "MOST_SAMPLES", "Comparison", "comparable", "comparison"]

MOST_SAMPLES = 1000  # of a cell
MOST_CELLS = 2000
_FEWEST = 20  # samples of a cell, however many cells there are
Key = tuple[str, str, str, str]  # what must be equal for two cells to be paired


@dataclass(frozen=True)
class Comparison:
    """What can be chosen, and the rows as JSON. `left_out` says what the page does not hold; empty: nothing."""

    attacks: list[str]
    start: int  # the attack to show first
    entries: list[str]
    against: int  # the entry to hold against the first one that shares this attack
    json: Markup
    left_out: str


@dataclass
class _Pool:
    """Arrays by content: the clean predictions of a classifier are the same under every attack."""

    texts: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, values: npt.NDArray[Any]) -> int:
        """The place of these numbers: base64, little-endian, uint8, uint16 or float32 by their type."""
        text = base64.b64encode(values.tobytes()).decode()
        if text not in self.places:
            self.places[text] = len(self.texts)
            self.texts.append(text)
        return self.places[text]


def comparison(runs: Sequence[Results], room: int = 0) -> Comparison | None:
    """The rows of every attack that at least two classifiers (or runs) share; None where there is none.

    `room`: the characters that there are for all rows together; 0: as many as it takes.
    """
    found = _shared(runs)
    if not found:
        return None
    keys, entries = list(found), list(dict.fromkeys(entry for many in found.values() for entry, _, _ in many))
    most = _most([one for many in found.values() for *_, one in many], room) if room else MOST_SAMPLES
    pool, sets, cut, small = _Pool(), _Pool(), 0, Thumbnails(room=room) if room else Thumbnails()
    cells: list[dict[str, Any]] = []
    names: dict[str, list[str]] = {}
    for k, members in enumerate(found.values()):
        shown = small.of([(results, one) for _, results, one in members])
        for (entry, results, one), pictured in zip(members, shown, strict=True):
            if len(cells) >= MOST_CELLS:
                break
            cut = max(cut, len(one) - most)
            names.setdefault(keys[k][0], [visible(name) for name in told_apart(class_names(results, one.dataset))])
            samples = one.samples[:most]
            places = {sample: i for i, sample in enumerate(samples)}
            ids = np.frombuffer(" ".join(samples).encode(), np.uint8)
            cell = _cell(one, pool, most) | {"key": k, "entry": entries.index(entry), "set": sets.add(ids)}
            cell["pictures"] = {places[sample]: both for sample, both in pictured.items() if sample in places}
            cells.append(cell)
    data = {
        "keys": [{"dataset": key[0], "top": _top([one for *_, one in found[key]])} for key in keys],
        "classes": names,
        "arrays": pool.texts,
        "sets": sets.texts,
        "cells": cells,
        "pictures": small.texts,
        "palette": PALETTE[:8],
        "dashes": DASHES,
    }
    said = []
    if cut > 0:
        said.append(f"the first {most} samples of each cell")
    if len(cells) >= MOST_CELLS:
        said.append(f"the first {MOST_CELLS} cells")
    left_out = f"This page holds {' and '.join(said)}; the verb `compare` uses all." if said else ""
    telling = (k for k, many in enumerate(found.values()) if _tells_apart([one for *_, one in many]))
    start = next(telling, 0)
    against = _against([(entries.index(entry), one) for entry, _, one in found[keys[start]]])
    rows = Markup(for_script(data))  # noqa: S704  (escaped for where it stands)
    return Comparison([_title(*both) for both in found.items()], start, entries, against, rows, left_out)


def comparable(runs: Sequence[Results]) -> bool:
    """Whether there is anything to compare."""
    return bool(_shared(runs))


def _shared(runs: Sequence[Results]) -> dict[Key, list[tuple[str, Results, Evaluation]]]:
    """What at least two classifiers (or runs) share, by what pairs it."""
    found: dict[Key, list[tuple[str, Results, Evaluation]]] = {}
    for results in runs:
        for key, entry, one in _comparable(results, runs):
            found.setdefault(key, []).append((entry, results, one))
    return {key: members for key, members in found.items() if len({entry for entry, _, _ in members}) > 1}


def _most(members: Sequence[Evaluation], room: int) -> int:
    """So many samples of each cell that all fit: a byte for what it was taken for, four for a size, in base64."""
    each = sum(5 if one.minimal else 1 for one in members[:MOST_CELLS]) * 4 / 3
    return max(_FEWEST, min(MOST_SAMPLES, int(room / each) // 10 * 10))


def _top(members: Sequence[Evaluation]) -> float:
    """Where the axis of sizes ends: beyond the largest of all classifiers."""
    sizes = [one.relative_size[one.success] for one in members if one.minimal]
    return round_up(max((float(own.max()) for own in sizes if len(own)), default=1.0))


def _tells_apart(members: Sequence[Evaluation]) -> bool:
    """Whether there is a difference to look at: sizes, or another share that stays right."""
    return members[0].minimal or len(set(map(_right, members))) > 1


def _right(one: Evaluation) -> int:
    return int(one.correct.sum())


def _against(members: Sequence[tuple[int, Evaluation]]) -> int:
    """The first of these entries with another result than the reference, which is the first of them."""
    (_, reference), *others = sorted(members, key=lambda pair: pair[0])
    return next((entry for entry, one in others if _right(one) != _right(reference)), others[0][0])


def _comparable(results: Results, runs: Sequence[Results]) -> Iterator[tuple[Key, str, Evaluation]]:
    """What each cell is paired by, as `compare` does it, and what it is called: the run too, where several have it."""
    others = {one.model for other in runs if other is not results for one in evaluations(other)}
    run = results.label or str(results.run.get("name") or results.folder.name)
    for one in evaluations(results):
        if one.ok:
            key = (one.dataset, one.through, one.variant, str(one.cell["params"]))
            yield key, f"{one.model} ({run})" if one.model in others else one.model, one


def _title(key: Key, members: Sequence[tuple[str, Results, Evaluation]]) -> str:
    dataset, through, variant, _ = key
    source = f" made for {through}" if through else ""
    return f"{dataset}: {variant}{source} ({len(members)} classifiers)"


def _cell(one: Evaluation, pool: _Pool, most: int) -> dict[str, Any]:
    """Places of the columns in the pool."""
    read = np.where(one.agreed, one["adv_pred"], one["label"])  # an image of no such class counts as one that is held
    clean, pred = (column[:most] for column in (one["clean_pred"], read))
    width = 1 if max(part.max(initial=0) for part in (clean, pred)) < 2**8 else 2
    kind = np.uint8 if width == 1 else np.dtype("<u2")
    label = pool.add(one["label"][:most].astype("<u2"))
    cell = {"width": width, "label": label, "clean": pool.add(clean.astype(kind)), "pred": pool.add(pred.astype(kind))}
    if one.minimal:
        cell["size"] = pool.add(one.needed[:most].astype("<f4"))
    return cell
