"""What a cell leaves in the store beside its samples' rows: images, and what was made for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.engine.drive import Outcome
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.plan import Cell

if TYPE_CHECKING:
    from robustbench_lite.datasets.base import Samples

__all__ = ["artifact_rows", "image_rows"]


def artifact_rows(cell: Cell, outcome: Outcome) -> list[Row]:
    return [
        {"cell": cell.id, "name": name, "shape": list(value.shape), "values": value.numpy().astype("<f4").tobytes()}
        for name, value in outcome.artifacts.items()
    ]


def image_rows(cell: Cell, samples: Samples, keep: list[int], outcome: Outcome) -> list[Row]:
    return [
        {
            "cell": cell.id,
            "sample": samples.ids[i],
            "shape": list(samples.images[i].shape),
            "clean": samples.images[i].tobytes(),
            "adversarial": candidate.numpy().astype("<f4").tobytes(),
        }
        for i, candidate in zip(keep, outcome.candidates, strict=True)
    ]
