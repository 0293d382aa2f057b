"""Columns of stored rows as numpy arrays, without pandas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Columns", "as_array"]


@dataclass(frozen=True)
class Columns:
    """The columns of all samples of a run, each made an array once: an evaluation takes its part of it."""

    table: pa.Table
    _known: dict[str, npt.NDArray[Any] | None] = field(default_factory=dict, repr=False, compare=False)

    def part(self, name: str, start: int, n: int) -> npt.NDArray[Any] | None:
        """The n values from `start` on; None for text and where a null is in the column: then each part has a type."""
        if name not in self._known:
            column = self.table[name]
            simple = pa.types.is_primitive(column.type) and column.num_chunks and not column.null_count
            self._known[name] = as_array(column) if simple else None
        whole = self._known[name]
        return None if whole is None else whole[start : start + n]


def as_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column as numpy. pyarrow's own `to_numpy`, like its comparisons, imports pandas, which takes 0.4 s."""
    if pa.types.is_boolean(column.type) and (column.null_count or not column.num_chunks):
        return np.array(column.to_pylist(), np.bool_)  # a null is no success
    if pa.types.is_boolean(column.type):
        return as_array(column.cast(pa.uint8())).astype(np.bool_)
    if pa.types.is_floating(column.type) and (column.null_count or not column.num_chunks):
        return np.array(column.to_pylist(), np.float64)  # a null becomes NaN
    if column.null_count or not column.num_chunks or not pa.types.is_primitive(column.type):
        return np.array(column.to_pylist())
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])
