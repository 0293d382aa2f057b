"""Liu et al.'s Figure 3: the labels of every classifier on a plane through an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robustbench_lite.figures._panels import Plane
from robustbench_lite.figures._plane import Planes
from robustbench_lite.figures.base import figures
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.figures.svg import PALETTE
from robustbench_lite.tables.base import Column, Table, Value

if TYPE_CHECKING:
    import pyarrow as pa

    from robustbench_lite.lazy import torch

__all__ = ["DecisionRegions"]


@figures.register("decision_regions")
class DecisionRegions(Planes):
    """Labels over the plane through an image that two directions span: a gradient and a random one, or two attacks."""

    title: ClassVar[str] = "Decision regions"

    def columns(self, logits: torch.Tensor, label: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        p = logits.softmax(1)
        return {"prediction": p.argmax(1), "confidence": p.amax(1)}

    def drawing(self, table: pa.Table) -> Drawing:
        plane = Plane.of(table, "prediction")
        labels = _labels(plane)
        places = np.vectorize({label: i for i, label in enumerate(labels)}.get)(plane.values)
        colours = [PALETTE[i % len(PALETTE)] for i in range(len(labels))]
        keys = [(colour, plane.name(label)) for colour, label in zip(colours, labels, strict=True)]
        own = plane.facts["label"]
        shares = [f"{model} {float((plane.values[i] == own).mean()):.0%}" for i, model in enumerate(plane.models)]
        says = f"Share of the plane that is classified as {plane.name(own)}: {', '.join(shares)}."
        return Plane(plane.facts, plane.models, places).drawing(self.title, says, colours, keys)

    def data(self, table: pa.Table) -> Table:
        plane = Plane.of(table, "prediction")
        keys = [f"{name} (classifier)" if name == "class" else name for name in plane.models]
        models = (Column(key, name, "%") for key, name in zip(keys, plane.models, strict=True))
        columns = (Column("class", "class", numeric=False), *models)
        shares = [[100 * float((part == label).mean()) for part in plane.values] for label in _labels(plane)]
        rows = [
            {"class": Value(plane.name(label), kind="label")}
            | {key: Value(f"{share:.1f}", share) for key, share in zip(keys, line, strict=True)}
            for label, line in zip(_labels(plane), shares, strict=True)
        ]
        return Table("regions", f"Share of the plane with each label: {plane.heading}", columns, tuple(rows))


def _labels(plane: Plane) -> list[int]:
    """The labels on the plane, the most frequent first."""
    labels, counts = np.unique(plane.values, return_counts=True)
    return [int(label) for label in labels[np.argsort(-counts, kind="stable")]]
