"""An object in every pose, as it was and with the sticker, with what classifiers take it for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from robustbench_lite.errors import UsageError
from robustbench_lite.figures._strips import Pictured, outcome, png, strips
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.lazy import torch
from robustbench_lite.results.statistics import wilson
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.photographs import Shot, named, photographs, where
from robustbench_lite.tables.values import count, label, share

if TYPE_CHECKING:
    from robustbench_lite.results.evaluation import Evaluation
    from robustbench_lite.results.store import Results

__all__ = ["Poses"]

_BEFORE, _AFTER = "original", "attacked"


@figures.register("poses")
class Poses(Figure):
    """Photographs of an object from known distances and angles, before and after the attack, with the predictions."""

    title: ClassVar[str] = "Before and after, pose by pose"

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        rows = [
            row for one, shots in photographs(results, frames=False) if one.ok for row in _rows(results, one, shots)
        ]
        if not rows:
            raise UsageError(f"{results.folder}: no stored photographs of an object with known distances and angles")
        return pa.Table.from_pylist(rows)

    def drawing(self, table: pa.Table) -> Drawing:
        said = "; ".join(f"{row['attack'].text}: {row['success'].text} % success" for row in self.data(table).rows)
        rows: list[Pictured] = table.to_pylist()
        return strips(self.title, f"An object from several distances and angles. {said}.", rows)

    def data(self, table: pa.Table) -> Table:
        columns = (
            Column("attack", "attack", numeric=False),
            Column("poses", "poses"),
            Column("success", "success", "%", interval=True),
        )
        rows = []
        for heading in dict.fromkeys(table["heading"].to_pylist()):
            won = [row["success"] for row in table.to_pylist() if row["heading"] == heading and row["strip"] == _AFTER]
            success = share(wilson(sum(won), len(won)))
            rows.append({"attack": label(heading), "poses": count(len(won)), "success": success})
        return Table("poses", self.title, columns, tuple(rows))


def _rows(results: Results, one: Evaluation, shots: list[Shot]) -> Iterator[dict[str, Any]]:
    stored = {row["sample"]: row for row in results.images(one.id).to_pylist()}
    heading = f"{one.dataset}, {one.title}, {one.variant}"
    for strip, prefix, column, dtype, scale in (
        (_BEFORE, "clean", "clean", np.uint8, 255),
        (_AFTER, "adv", "adversarial", np.dtype("<f4"), 1),
    ):
        for shot in shots:
            if (image := stored.get(shot.row["sample"])) is None:
                continue
            pixels = np.frombuffer(image[column], dtype).reshape(image["shape"]).astype(np.float32) / scale
            prediction = shot.row[f"{prefix}_pred"]
            yield {
                "heading": heading,
                "strip": strip,
                "caption": where(shot).text,
                "prediction": named(results, one, prediction).text,
                "confidence": shot.row[f"{prefix}_confidence"],
                "outcome": outcome(prediction, shot.row["label"], shot.row["target"]),
                "success": shot.row["success"],
                "png": png(torch.from_numpy(pixels)),
            }
