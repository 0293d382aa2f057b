"""Objects turned before the camera, as they were and as they were attacked, with what classifiers take them for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from robustbench_lite.errors import UsageError
from robustbench_lite.figures._strips import Pictured, outcome, png, strips
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.lazy import torch
from robustbench_lite.physical.scene import Pose, Scene, expose
from robustbench_lite.registry import Number
from robustbench_lite.tables.base import Column, Table, Value

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Turntable"]


@figures.register("turntable")
class Turntable(Figure):
    """A full turn of every object: the original and the adversarial texture, with the prediction of each view."""

    title: ClassVar[str] = "Turntable"

    dataset: str | None = Field(None, description="The object of the results; null: all.")
    views: int = Field(12, ge=2, le=72, description="Views of the turn.")
    tilt: Number = Field(25, ge=-90, le=90, description="From how high the camera looks, degrees.")
    grey: Number = Field(0.7, ge=0, le=1, description="The background.")
    folder: str | None = Field(
        None, description="Where to write the textures as PNG too, named by cell; null: nowhere."
    )

    def compute(self, results: Results, assets: Assets) -> pa.Table:
        rows = [row for cell in results.cell_table.to_pylist() for row in self._cell(results, assets, cell)]
        if not rows:
            raise UsageError(f"{results.folder}: no attacked object there whose texture was stored")
        return pa.Table.from_pylist(rows)

    def _cell(self, results: Results, assets: Assets, cell: Row) -> Iterator[Row]:
        """A row for each view, texture and scored classifier."""
        if cell["status"] != "ok" or self.dataset not in {None, cell["dataset"]}:
            return
        samples = assets.samples(cell["dataset"])
        if not isinstance(samples.scene, Scene):
            return
        targets = {
            row["sample"]: row["target"] for row in results.sample_table.to_pylist() if row["cell"] == cell["cell"]
        }
        for stored in results.images(cell["cell"]).to_pylist():
            label = int(samples.labels[samples.ids.index(stored["sample"])])
            facts = {"cell": cell["cell"], "dataset": cell["dataset"], "variant": cell["variant"]}
            facts |= {"label": samples.classes[label], "target": _name(samples.classes, targets[stored["sample"]])}
            target = targets[stored["sample"]]
            for kind, texture in _textures(stored).items():
                self._write(f"{cell['cell']}-{stored['sample']}-{kind}", texture)
                seen = self._turn(samples.scene, texture)
                pictures = [png(view) for view in seen]
                for model in cell["models"]:
                    logits = assets.scorer(model, seen).logits(seen)
                    for i, p in enumerate(logits.double().softmax(1)):
                        best = int(p.argmax())
                        found = {"prediction": samples.classes[best], "confidence": float(p[best]), "png": pictures[i]}
                        angle = 360 * i / self.views
                        view = {"model": model, "texture": kind, "angle": angle}
                        yield facts | view | found | {"outcome": outcome(best, label, target)}

    def _turn(self, scene: Scene, texture: torch.Tensor) -> torch.Tensor:
        """The views (views, 3, H, W) of a texture (3, T, T), without noise."""
        background, distance = (self.grey,) * 3, sum(scene.distance) / 2
        light, depth = (0.3, 0.5, math.sqrt(1 - 0.3**2 - 0.5**2)), sum(scene.shading) / 2
        down = math.radians(self.tilt) / 2
        poses = []
        for i in range(self.views):
            half = math.pi * i / self.views
            # first about the vertical, then towards the camera: the product of two quaternions
            c, s, a, b = math.cos(down), math.sin(down), math.cos(half), math.sin(half)
            poses.append(Pose((c * a, s * a, c * b, s * b), (0.0, 0.0), distance, light, depth, background))
        shots = [scene.shoot(pose, torch.device("cpu")) for pose in poses]
        return expose(texture.expand(self.views, -1, -1, -1), shots).clamp(0, 1)

    def _write(self, name: str, texture: torch.Tensor) -> None:
        if self.folder is not None:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            (Path(self.folder) / f"{name}.png").write_bytes(png(texture))

    def drawing(self, table: pa.Table) -> Drawing:
        says = "; ".join(
            f"{row['object'].text} {row['texture'].text}: {row['label'].text} as the label, "
            f"{row['target'].text} as the target"
            for row in self.data(table).rows
        )
        rows: list[Pictured] = [
            row | {"heading": f"{_heading(row)}, {row['model']}", "strip": row["texture"], "caption": ""}
            for row in table.to_pylist()
        ]
        return strips(self.title, f"Views of a full turn. {says}.", rows)

    def data(self, table: pa.Table) -> Table:
        columns = (
            Column("object", "object", numeric=False),
            Column("texture", "texture", numeric=False),
            Column("model", "classifier", numeric=False),
            Column("label", "as its label", "%"),
            Column("target", "as the target", "%"),
            Column("other", "most often else", numeric=False),
            Column("views", "views"),
        )
        key = lambda row: (_heading(row), row["texture"], row["model"])
        rows = tuple(_counted(*name, list(part)) for name, part in groupby(table.to_pylist(), key))
        return Table("turntable", "What the views of a full turn are taken for", columns, rows)


def _counted(heading: str, kind: str, model: str, views: list[dict[str, Any]]) -> dict[str, Value]:
    others = [view["prediction"] for view in views if view["outcome"] == "other"]
    shares = [100 * sum(view["outcome"] == name for view in views) / len(views) for name in ("label", "target")]
    names = {"object": heading, "texture": kind, "model": model}
    names["other"] = max(others, key=others.count) if others else ""
    return {
        **{key: Value(text, kind="label") for key, text in names.items()},
        "label": Value(f"{shares[0]:.0f}", shares[0]),
        "target": Value(f"{shares[1]:.0f}", shares[1]),
        "views": Value(str(len(views)), len(views)),
    }


def _heading(row: dict[str, Any]) -> str:
    goal = "any other class" if row["target"] is None else row["target"]
    name = "" if row["variant"] == goal else f", {row['variant']}"
    return f"{row['dataset']} ({row['label']}) to {goal}{name}"


def _name(classes: tuple[str, ...], label: int | None) -> str | None:
    return None if label is None else classes[label]


def _textures(stored: Row) -> dict[str, torch.Tensor]:
    """The original and the adversarial texture (3, T, T)."""
    clean = np.frombuffer(stored["clean"], np.uint8).astype(np.float32) / 255
    adversarial = np.frombuffer(stored["adversarial"], "<f4").copy()
    both = {"original": clean, "adversarial": adversarial}
    return {kind: torch.from_numpy(values).view(stored["shape"]) for kind, values in both.items()}
