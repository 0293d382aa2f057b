"""What all sources share: selection by hash rank, and where files may lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robustbench_lite.datasets._room import FILE
from robustbench_lite.datasets.base import DataSource, rank
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import contents

__all__ = ["absent", "balanced", "chosen", "find", "read_file"]


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


def read_file(path: Path) -> bytes:
    """The bytes of a regular file that is not too large. Raises DataError."""
    try:
        return contents(path, FILE)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def absent(option: str, path: str, root: Path) -> Iterator[tuple[str, str]]:
    """(option, sentence) where nothing lies at `path`."""
    try:
        find(path, root, option)
    except DataError as error:
        yield option, str(error)


def find(path: str, root: Path, what: str) -> Path:
    """`path` as it is, under the suite's folder, or under ROBUSTBENCH_LITE_DATA. Raises DataError that says so."""
    places = [root / path, Path.cwd() / path]
    if data := os.environ.get("ROBUSTBENCH_LITE_DATA"):
        places.append(Path(data) / path)
    for place in places:
        if place.exists():
            return place
    raise DataError(
        f"{what}: no file or folder '{path}' under the suite's folder, the current folder or ROBUSTBENCH_LITE_DATA; "
        "put the data there, or set ROBUSTBENCH_LITE_DATA"
    )
