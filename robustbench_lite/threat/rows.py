"""Records whose tensors have a row per sample: pick rows, put rows. The engine moves samples about with these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from robustbench_lite.lazy import torch

__all__ = ["per_row", "put", "rows"]

R = TypeVar("R")


def rows(record: R, index: torch.Tensor) -> R:
    """The rows `index` (m,) of every tensor in the record; what is no tensor is shared by all rows and stays."""
    if isinstance(record, torch.Tensor):
        return cast("R", record.index_select(0, index))
    if not is_dataclass(record) or isinstance(record, type):
        return record
    changes: dict[str, Any] = {field.name: rows(getattr(record, field.name), index) for field in fields(record)}
    return cast("R", replace(record, **changes))


def put(record: R, slots: torch.Tensor, fresh: R) -> R:
    """The record with the rows `slots` (m,) replaced by those of `fresh`; in place where no tensor is shared.

    Two fields may hold one tensor (an iterate that is also the image); writing there would change both.
    """
    shared = Counter(value.untyped_storage().data_ptr() for value in _tensors(record))
    return _put(record, slots, fresh, shared)


def _put(record: R, slots: torch.Tensor, fresh: R, shared: Counter[int]) -> R:
    if isinstance(record, torch.Tensor) and isinstance(fresh, torch.Tensor):
        alone = shared[record.untyped_storage().data_ptr()] == 1
        return cast("R", (record if alone else record.clone()).index_copy_(0, slots, fresh))
    if not is_dataclass(record) or isinstance(record, type):
        return record
    changes: dict[str, Any] = {
        field.name: _put(getattr(record, field.name), slots, getattr(fresh, field.name), shared)
        for field in fields(record)
    }
    return cast("R", replace(record, **changes))


def _tensors(record: object) -> Iterator[torch.Tensor]:
    if isinstance(record, torch.Tensor):
        yield record
    elif is_dataclass(record):
        for field in fields(record):
            yield from _tensors(getattr(record, field.name))


def per_row(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`values` (n,) shaped to broadcast over `like` (n, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
