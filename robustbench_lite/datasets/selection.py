"""Which samples of a source are taken: by the rank of their hashes, equally many of each class when asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robustbench_lite.datasets.base import DataSource
from robustbench_lite.errors import DataError

__all__ = ["balanced", "chosen", "rank"]


def rank(sample: str) -> str:
    """The sort key of hash ranking: n=100 is a subset of n=1000, whatever the order of the files."""
    return hashlib.sha256(f"robustbench_lite:{sample}".encode()).hexdigest()


def chosen(source: DataSource, what: str, ids: Sequence[str], labels: npt.NDArray[np.int64]) -> list[int]:
    """Indices of the selected samples in hash-rank order. Raises DataError when more are wanted than there are."""
    order = sorted(range(len(ids)), key=lambda i: rank(ids[i]))
    wanted = len(ids) if source.samples is None else source.samples
    if wanted > len(ids):
        raise DataError(f"{what}: {wanted} samples are wanted, but there are only {len(ids)}")
    if not source.stratified:
        return order[:wanted]
    picked = balanced(labels[order], wanted, order)
    if len(picked) < wanted:
        raise DataError(f"{what}: some classes have fewer samples than a stratified selection of {wanted} needs")
    return picked


def balanced(labels: npt.NDArray[np.int64], wanted: int, items: Sequence[int]) -> list[int]:
    """The first `items` with labels (N,), equally many of each class (one more of the first ones), `wanted` at most."""
    classes = sorted(set(labels.tolist()))
    quota, extra = divmod(wanted, max(1, len(classes)))
    room = {label: quota + (place < extra) for place, label in enumerate(classes)}
    picked = []
    for item, label in zip(items, labels.tolist(), strict=True):
        if room[label] > 0:
            room[label] -= 1
            picked.append(item)
    return picked
