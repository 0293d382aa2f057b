"""What a distribution of transformations does: images in a row each, one random view beside the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt

from robustbench_lite.datasets.base import images
from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing, Gallery, Strip, Tile, pixels_of
from robustbench_lite.lazy import torch
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.setting import Views

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["ContactSheet"]

META = b"robustbench_lite.figure"
_SIDE = 96  # pixels


@figures.register("contact_sheet")
class ContactSheet(Figure):
    """Random views of the first images, as the judge draws them; the image itself comes first in each row."""

    title: ClassVar[str] = "Contact sheet"

    attack: str | None = Field(None, description="An attack of the suite, as tables call it; null: the first in views.")
    dataset: str | None = Field(None, description="A dataset of the suite; null: the first.")
    images: PositiveInt = Field(4, description="Rows.")
    draws: PositiveInt = Field(8, description="Views of each image.")

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (no attack needs to have run)
        return self.sheet(assets)

    def sheet(self, assets: Assets) -> pa.Table:
        """The views of a suite's images, one row each; needs no results. Raises UsageError."""
        name, attack = self._attack(assets)
        views = attack.views()
        assert views is not None
        dataset = self.dataset or assets.data[0]
        if dataset not in assets.data:
            raise UsageError(f"unknown dataset '{dataset}'{did_you_mean(dataset, assets.data)}")
        samples = assets.samples(dataset)
        x = images(samples, slice(self.images))
        heading = f"{assets.name}: {dataset} as {name} is scored"
        return _rows(views, x, list(samples.ids[: self.images]), assets.seed, self.draws, heading)

    def _attack(self, assets: Assets) -> tuple[str, Attack]:
        found = {name: attack for name, attack in assets.attacks.items() if attack.views() is not None}
        if not found:
            raise UsageError(f"{assets.name}: no attack is scored in random views; say `under` in the suite")
        name = self.attack or next(iter(found))
        if name not in found:
            raise UsageError(f"no attack '{name}' is scored in views{did_you_mean(name, found)}")
        return name, found[name]

    def drawing(self, table: pa.Table) -> Drawing:
        facts = json.loads(table.schema.metadata[META])
        strips = {name: list[Tile]() for name in facts["samples"]}
        for row in sorted(table.to_pylist(), key=lambda row: row["draw"]):
            pixels = np.frombuffer(row["pixels"], np.uint8).reshape(row["shape"])
            says = f"{row['sample']}, " + ("as it is" if row["draw"] < 0 else f"view {row['draw'] + 1}")
            strips[row["sample"]].append(Tile(pixels_of(pixels), says))
        above = ("as it is", "random views", *[""] * (facts["draws"] - 1))
        gallery = Gallery("", tuple(Strip("", tuple(tiles)) for tiles in strips.values()), above, _SIDE)
        says = f"{facts['draws']} random views of each of {len(facts['samples'])} images."
        return Drawing(f"{self.title}: {facts['heading']}", says, (gallery,), heading=facts["heading"])

    def data(self, table: pa.Table) -> Table:
        columns = (Column("sample", "image", numeric=False), Column("change", "mean change", "grey levels"))
        images = {(row["sample"], row["draw"]): np.frombuffer(row["pixels"], np.uint8) for row in table.to_pylist()}
        rows = []
        for name in dict.fromkeys(name for name, _ in images):
            own = images[name, -1].astype(float)
            away = [np.abs(seen - own).mean() for (other, draw), seen in images.items() if other == name and draw >= 0]
            change = float(np.mean(away))
            rows.append({"sample": Value(name, kind="label"), "change": Value(f"{change:.1f}", change)})
        heading = json.loads(table.schema.metadata[META])["heading"]
        return Table("views", f"How far views are from the image: {heading}", columns, tuple(rows))


def _rows(views: Views, x: torch.Tensor, ids: list[str], seed: int, draws: int, heading: str) -> pa.Table:
    """The images x (n, C, H, W), draw -1, and their views."""
    draw = Draw(keys(seed, "judge", ids))
    found = [(name, -1, image) for name, image in zip(ids, x, strict=True)]
    for row, number in pairs(len(x), draws, 64):
        seen = views.see(x[row], Draw(draw.key[row]), number)
        found += zip([ids[i] for i in row.tolist()], number.tolist(), seen, strict=True)
    pixels = [(image * 255).round().to(torch.uint8).numpy() for _, _, image in found]
    table = pa.table(
        {
            "sample": [name for name, _, _ in found],
            "draw": [number for _, number, _ in found],
            "shape": [list(image.shape) for image in pixels],
            "pixels": pa.array([image.tobytes() for image in pixels], pa.binary()),
        }
    )
    return table.replace_schema_metadata({META: json.dumps({"heading": heading, "samples": ids, "draws": draws})})
