"""The loss of every classifier on a grid of images around one: how steep, how smooth, and where it is flat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.figures._panels import Plane
from robustbench_lite.figures._plane import Through
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.tables.base import Column, Table, Value

if TYPE_CHECKING:
    import pyarrow as pa

    from robustbench_lite.lazy import torch

__all__ = ["Losses"]

_EDGES = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # nats; a true class of probability 0.5 has 0.69
# cividis: its order is the same to colour-blind eyes
_BANDS = ("#00224e", "#18376f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bbac6b", "#dec959", "#fee838")


class Losses(Through):
    """Cross-entropy of the true class over the grid, in nats."""

    def columns(self, logits: torch.Tensor, label: int) -> dict[str, torch.Tensor]:
        return {"loss": logits.logsumexp(1) - logits[:, label], "prediction": logits.argmax(1)}

    def drawing(self, table: pa.Table) -> Drawing:
        plane = Plane.of(table, "loss")
        bands = np.digitize(plane.values, _EDGES)
        meanings = [f"below {_EDGES[0]:g} nats", *(f"from {edge:g}" for edge in _EDGES)]
        keys = [(colour, text) for i, (colour, text) in enumerate(zip(_BANDS, meanings, strict=True)) if i in bands]
        at = [f"{model} {loss:.2g}" for model, loss in zip(plane.models, _centres(plane), strict=True)]
        says = f"Cross-entropy of {plane.name(plane.facts['label'])} at the image itself, nats: {', '.join(at)}."
        return Plane(plane.facts, plane.models, bands).drawing(self.title, says, _BANDS, keys)

    def data(self, table: pa.Table) -> Table:
        plane, labels = Plane.of(table, "loss"), Plane.of(table, "prediction").values
        columns = (
            Column("model", "classifier", numeric=False),
            Column("centre", "at the image", "nats"),
            Column("median", "median", "nats"),
            Column("largest", "largest", "nats"),
            Column("wrong", "misclassified", "% of the plane"),
        )
        rows = []
        for i, (model, centre) in enumerate(zip(plane.models, _centres(plane), strict=True)):
            wrong = 100 * float((labels[i] != plane.facts["label"]).mean())
            own = plane.values[i]
            numbers = {"centre": centre, "median": float(np.median(own)), "largest": float(own.max()), "wrong": wrong}
            values = {key: Value(f"{number:.3g}", number) for key, number in numbers.items()}
            rows.append({"model": Value(model, kind="label")} | values)
        return Table("loss", f"Cross-entropy of the true class: {plane.heading}", columns, tuple(rows))


def _centres(plane: Plane) -> list[float]:
    """The loss at the middle of the plane."""
    row, column = plane.centre
    return [float(part[row, column]) for part in plane.values]
