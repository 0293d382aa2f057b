"""Which images are to be shown: what lies in a folder, or what the package has with as many channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.on_demand import NAMES
from robustbench_lite.errors import DataError, SuiteError

__all__ = ["SAMPLES", "Found", "found", "shipped"]

SAMPLES = 200
_HALVES = ("test", "val", "valid", "validation", "testing", "dev")
_SHIPPED = ("mnist", "fashion_mnist")


@dataclass(frozen=True)
class Found:
    """An entry of `data:`, and its samples."""

    entry: dict[str, Any]
    samples: Samples


def found(path: Path, home: Path) -> Found:
    """Images of one size with labels in a folder or file. `home`: the suite's folder. Raises DataError."""
    if not path.exists():
        raise DataError(f"{path}: no such folder; `--data` names one with a folder of images per class")
    reasons = list[str]()
    for kind, value, more in _readings(path):
        for size in ({"samples": SAMPLES}, {}):  # all, where there are fewer
            entry = {kind: value, **size, **more}
            try:
                return Found(entry, datasets.build(kind, entry).load(home))
            except (DataError, SuiteError) as error:
                reasons.append(str(error))
    raise DataError(f"{path}: no images with labels were found; {reasons[1] if reasons else 'it is empty'}")


def _readings(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(source, value, options) to try, what is surest first."""
    if path.is_file():
        yield "parquet", str(path), {}
        return
    half = next((path / name for name in _HALVES if (path / name).is_dir()), path)
    if any(path.rglob("*-idx3-ubyte*")):
        yield "idx", str(next(path.rglob("*-idx3-ubyte*")).parent), {}
    if any(half.glob("*.parquet")):
        yield "parquet", str(half), {}
    if any(half.glob("*/*")):
        yield "folder", str(half), {}
        yield "folder", str(half), {"size": 224, "resize": 256}  # images of several sizes


def shipped(channels: int | None) -> Iterator[Found]:
    """The images of the package, or at hand, that have so many channels; null: any."""
    for name in (*_SHIPPED, *NAMES):
        try:
            kind = "on_demand" if name in NAMES else "bundled"
            samples = datasets.build(kind, {kind: name, "samples": SAMPLES}).load(Path.cwd())
        except DataError:
            continue
        if channels in {None, samples.images.shape[1]}:
            yield Found({name: {"samples": SAMPLES, "stratified": True}}, samples)
