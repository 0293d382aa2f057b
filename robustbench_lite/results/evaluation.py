"""Results as they are looked at: a cell and its samples as one classifier scored them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.results.schema import CELLS, Row

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Group", "groups", "limits", "through"]

_NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Group:
    """One cell and its samples as scored by one classifier."""

    cell: Row
    model: str
    rows: pa.Table

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column; many ask for the same ones, so that it is made once, and nobody may write to it."""
        if name not in self._columns:
            column = _array(self.rows[name])
            column.flags.writeable = False
            self._columns[name] = column
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    @property
    def title(self) -> str:
        """The classifier, and whose adversarials it saw where they are not its own."""
        source = self.cell["source"]
        return self.model if source in {None, self.model} else f"{self.model}, attacked through {through(self.cell)}"

    @cached_property
    def trouble(self) -> str:
        """Why no number of this cell may be shown; empty where all may. One failed sample withholds the cell."""
        if self.cell["status"] == _NOT_RUN:
            return _NOT_RUN
        if self.cell["status"] != "ok":
            return f"failed: {self.cell['error'] or 'no reason was stored'}"
        failed = [status for status in self.rows["status"].to_pylist() if status != "ok"]
        if failed:
            return f"failed: {len(failed)} of {len(self.rows)} samples: {failed[0]}"
        return "" if len(self.rows) else "failed: no samples are stored"

    @property
    def ok(self) -> bool:
        return not self.trouble

    @property
    def viewed(self) -> bool:
        """Whether its samples were scored in random views, or would have been."""
        if self.ok:
            return bool((self["draws"] != None).all())  # noqa: E711  (element by element)
        return "evaluation_draws" in json.loads(self.cell["params"] or "{}")

    def share_of_views(self, column: str) -> npt.NDArray[np.float64]:
        """(n,) per sample the share of its views that `column` counts: draws_target, clean_draws_label, ..."""
        found: npt.NDArray[np.float64] = self[column].astype(np.float64) / self["draws"].astype(np.float64)
        return found

    def adversariality(self, prefix: str = "") -> npt.NDArray[np.float64]:
        """(n,) the share of views in which the attacker has what he wants; of the original with the prefix `clean_`."""
        if self.cell["goal"] == "target":
            return self.share_of_views(f"{prefix}draws_target")
        return 1 - self.share_of_views(f"{prefix}draws_label")


def through(cell: Row) -> str:
    """The sources in few words: all but the one classifier that was scored and not seen."""
    sources, models = cell["sources"] or [cell["source"]], cell["models"] or []
    unseen = [model for model in models if model not in sources]
    if len(sources) > 1 and len(unseen) <= 1 and set(sources) <= set(models):
        return f"all but {unseen[0]}" if unseen else "all"
    return " + ".join(sources)


def limits(cell: Row) -> str:
    """The rotations and translations that an attack may use, in words; empty where it uses none."""
    p = json.loads(cell["params"] or "{}")
    if not {"rotation", "translation"} <= p.keys():
        return ""
    text = f"±{p['rotation']:g}°, ±{p['translation']:g} px"
    text += f", ±{100 * p['scaling']:g} %" if p.get("scaling") else ""
    text += f", {p['fill']}" if p.get("fill", "zeros") != "zeros" else ""
    for name, inner in (p.get("then") or {}).items():
        text += f", then {name}" + (f" {255 * inner['epsilon']:.3g}/255" if "epsilon" in inner else "")
    return text


def groups(results: Results) -> list[Group]:
    """Every cell and scored classifier in the order of the run; failed ones and those not run yet keep their place."""
    if "groups" not in results.memo:
        cells = results.cell_table.to_pylist()
        rows = _split(results.sample_table, "cell")
        none = results.sample_table.slice(0, 0)
        out = [group for cell in cells for group in _scored(cell, rows.get(cell["cell"], none))]
        out += _not_run(results, cells)
        results.memo["groups"] = sorted(out, key=lambda group: _position(group, results.run))
    return list(results.memo["groups"])


def _scored(cell: Row, rows: pa.Table) -> Iterator[Group]:
    found = _split(rows, "model")
    for model in cell["models"] or [cell["source"]]:
        yield Group(cell, model, found.get(model, rows.slice(0, 0)))


def _split(table: pa.Table, column: str) -> dict[str, pa.Table]:
    """The rows of each value of a text column, as slices."""
    names = np.array(table[column].to_pylist())
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    parts: dict[str, list[pa.Table]] = {}
    for start, stop in pairwise(edges):
        if stop > start:
            parts.setdefault(str(names[start]), []).append(table.slice(start, stop - start))
    return {name: slices[0] if len(slices) == 1 else pa.concat_tables(slices) for name, slices in parts.items()}


def _array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column as numpy. pyarrow's own `to_numpy`, like its comparisons, imports pandas, which takes 0.4 s."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if column.null_count or not column.num_chunks or not pa.types.is_primitive(column.type):
        return np.array(column.to_pylist())
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def _not_run(results: Results, cells: list[Row]) -> Iterator[Group]:
    """Placeholders for what an interrupted run has not come to."""
    done = {cell["cell"] for cell in cells}
    for planned in _names(results.run, "planned"):
        if not (isinstance(planned, dict) and isinstance(planned.get("models"), list)):
            continue  # not written by `run`
        if planned.get("cell") not in done:
            cell = dict.fromkeys(CELLS.names) | planned | {"status": _NOT_RUN}
            for model in planned["models"]:
                yield Group(cell, model, results.sample_table.slice(0, 0))


def _position(group: Group, run: Row) -> tuple[int, int]:
    """In the order of the run, then of the scored classifiers."""
    lists = [(_names(run, "cells"), group.cell["cell"]), (_names(run, "models"), group.model)]
    first, second = (names.index(name) if name in names else len(names) for names, name in lists)
    return first, second


def _names(run: Row, key: str) -> list[Any]:
    value = run.get(key)
    return value if isinstance(value, list) else []
