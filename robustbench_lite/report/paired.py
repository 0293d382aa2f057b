"""The rows behind the page's comparisons, small enough to ship: predictions, labels and sizes of shared samples."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from robustbench_lite.figures.svg import PALETTE
from robustbench_lite.report.charts import DASHES, round_up
from robustbench_lite.report.pictures import class_names
from robustbench_lite.report.thumbnails import Thumbnails
from robustbench_lite.results.evaluation import Group, groups, through
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["MOST_CELLS", "MOST_SAMPLES", "Paired", "paired"]

MOST_SAMPLES = 1000  # of a cell
MOST_CELLS = 2000
Key = tuple[str, str, str, str]  # what must be equal for two cells to be paired


@dataclass(frozen=True)
class Paired:
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


def paired(runs: Sequence[Results]) -> Paired | None:
    """The rows of every attack that at least two classifiers (or runs) share; None where there is none."""
    found: dict[Key, list[tuple[str, Results, Group]]] = {}
    for results in runs:
        for key, entry, group in _comparable(results, runs):
            found.setdefault(key, []).append((entry, results, group))
    found = {key: members for key, members in found.items() if len({entry for entry, _, _ in members}) > 1}
    if not found:
        return None
    keys, entries = list(found), list(dict.fromkeys(entry for many in found.values() for entry, _, _ in many))
    pool, sets, cut, small = _Pool(), _Pool(), 0, Thumbnails()
    cells: list[dict[str, Any]] = []
    names: dict[str, list[str]] = {}
    for k, members in enumerate(found.values()):
        shown = small.of([(results, group) for _, results, group in members])
        for (entry, results, group), pictured in zip(members, shown, strict=True):
            if len(cells) >= MOST_CELLS:
                break
            cut = max(cut, len(group.rows) - MOST_SAMPLES)
            names.setdefault(keys[k][0], [visible(name) for name in class_names(results, keys[k][0])])
            cell = _cell(group, pool)
            ids = " ".join(group.rows["sample"].to_pylist()[:MOST_SAMPLES])
            cell |= {"key": k, "entry": entries.index(entry), "set": sets.add(np.frombuffer(ids.encode(), np.uint8))}
            places = {sample: i for i, sample in enumerate(group.rows["sample"].to_pylist()[:MOST_SAMPLES])}
            cell["pictures"] = {places[sample]: both for sample, both in pictured.items() if sample in places}
            cells.append(cell)
    data = {
        "keys": [{"dataset": key[0], "top": _top([g for _, _, g in found[key]])} for key in keys],
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
        said.append(f"the first {MOST_SAMPLES} samples of each cell")
    if len(cells) >= MOST_CELLS:
        said.append(f"the first {MOST_CELLS} cells")
    left_out = f"This page holds {' and '.join(said)}; the verb `compare` uses all." if said else ""
    telling = (k for k, many in enumerate(found.values()) if _tells_apart([group for _, _, group in many]))
    start = next(telling, 0)
    against = _against([(entries.index(entry), group) for entry, _, group in found[keys[start]]])
    return Paired([_title(*both) for both in found.items()], start, entries, against, _inert(data), left_out)


def _top(members: Sequence[Group]) -> float:
    """Where the axis of sizes ends: beyond the largest of all classifiers."""
    sizes = [group[column][group["success"].astype(bool)] for group in members if (column := _sized(group))]
    return round_up(max((float(own.max()) for own in sizes if len(own)), default=1.0))


def _sized(group: Group) -> str:
    """The column with the sizes of a minimal attack; empty for another."""
    if group.cell["eps"] is not None or group.cell["norm"] is None:
        return ""
    return "rho_linf" if group.cell["norm"] == "linf" else "rho"


def _tells_apart(members: Sequence[Group]) -> bool:
    """Whether there is a difference to look at: sizes, or another share that stays right."""
    return bool(_sized(members[0])) or len(set(map(_right, members))) > 1


def _right(group: Group) -> int:
    return int((group["adv_pred"] == group["label"]).sum())


def _against(members: Sequence[tuple[int, Group]]) -> int:
    """The first of these entries with another result than the reference, which is the first of them."""
    (_, reference), *others = sorted(members, key=lambda pair: pair[0])
    return next((entry for entry, group in others if _right(group) != _right(reference)), others[0][0])


def _comparable(results: Results, runs: Sequence[Results]) -> Iterator[tuple[Key, str, Group]]:
    """What each cell is paired by, as `compare` does it, and what it is called: the run too, where several have it."""
    others = {group.model for other in runs if other is not results for group in groups(other)}
    run = results.label or str(results.run.get("name") or results.folder.name)
    for group in groups(results):
        if group.ok:
            cell = group.cell
            seen = "itself" if cell["source"] == group.model else through(cell)
            key = (str(cell["dataset"]), seen, str(cell["variant"]), str(cell["params"]))
            yield key, f"{group.model} ({run})" if group.model in others else group.model, group


def _title(key: Key, members: Sequence[tuple[str, Results, Group]]) -> str:
    dataset, seen, variant, _ = key
    made = "" if seen == "itself" else f" made for {seen}"
    return f"{dataset}: {variant}{made} ({len(members)} classifiers)"


def _cell(group: Group, pool: _Pool) -> dict[str, Any]:
    """Places of the columns in the pool."""
    clean, pred = (group[name][:MOST_SAMPLES].astype(np.int64) for name in ("clean_pred", "adv_pred"))
    width = 1 if max(part.max(initial=0) for part in (clean, pred)) < 2**8 else 2
    kind = np.uint8 if width == 1 else np.dtype("<u2")
    label = pool.add(group["label"][:MOST_SAMPLES].astype("<u2"))
    cell = {"width": width, "label": label, "clean": pool.add(clean.astype(kind)), "pred": pool.add(pred.astype(kind))}
    if column := _sized(group):
        size = np.where(group["success"].astype(bool), group[column].astype(np.float64), np.inf)[:MOST_SAMPLES]
        cell["size"] = pool.add(size.astype("<f4"))
    return cell


def _inert(data: dict[str, Any]) -> Markup:
    """JSON that cannot end the element that holds it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704
