"""What generators make, as it is stored beside their scores: on the way, between latents, beside training images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, PositiveInt

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing, Gallery, Strip, Tile, pixels_of
from robustbench_lite.results.made import BETWEEN
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import count, label, number

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Generated"]

_SCALE = 2  # pixels of the page for one of the image
_ROWS = pa.schema(
    [
        ("generator", pa.string()),
        ("strip", pa.string()),  # what a row of images shows
        ("number", pa.int64()),
        ("shape", pa.list_(pa.int64())),
        ("pixels", pa.binary()),
        ("distance", pa.float64()),  # l2 from the generated image above it, of a neighbour
    ]
)


@figures.register("generated")
class Generated(Figure):
    """Images of every generator: the same latents while it learnt, lines between latents, or nearest training images.

    As in figures 2 to 4 of https://arxiv.org/abs/1511.06434 and figure 10 of https://arxiv.org/abs/1710.10196.
    """

    title: ClassVar[str] = "What generators make"

    show: Literal["training", "interpolation", "neighbours"] = Field(
        "training", description="The same latents on the way, images between two latents, or training images nearest."
    )
    generator: str | None = Field(None, description="As tables call it; null: all of the run.")
    images: PositiveInt = Field(8, description="In a row.")

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        rows = [row for cell in self._cells(results) for row in self._rows(results, cell)]
        if not rows:
            raise UsageError(f"{results.folder}: nothing of {self.show} is stored; points are in the page's clouds")
        return pa.Table.from_pylist(rows, schema=_ROWS)

    def _cells(self, results: Results) -> list[Row]:
        cells: list[Row] = results.generator_table.to_pylist()
        names = [cell["name"] for cell in cells]
        if self.generator is not None and self.generator not in names:
            raise UsageError(
                f"no generator '{self.generator}' in {results.folder}{did_you_mean(self.generator, names)}"
            )
        return [cell for cell in cells if self.generator in {None, cell["name"]}]

    def _rows(self, results: Results, cell: Row) -> Iterator[dict[str, Any]]:
        stored = [row for row in results.generated(cell["cell"]).to_pylist() if row["pixels"] is not None]
        last = max((row["step"] for row in stored), default=0)
        for row in sorted(stored, key=lambda row: (row["kind"] != "generated", row["step"], row["number"])):
            if (strip := self._strip(row, last)) is not None:
                known = {key: row[key] for key in ("number", "shape", "pixels", "distance")}
                yield {"generator": cell["name"], "strip": strip} | known

    def _strip(self, row: Row, last: int) -> str | None:
        """The row of images that a stored image belongs to, if it is shown at all."""
        number, kind, step = row["number"], row["kind"], row["step"]
        if self.show == "interpolation":
            return f"pair {number // BETWEEN + 1}" if kind == "between" else None
        if number >= self.images:
            return None
        if self.show == "training":
            return f"step {step:,}" if kind == "generated" else None
        return {"generated": "generated", "neighbour": "nearest"}.get(kind) if step == last else None

    def drawing(self, table: pa.Table) -> Drawing:
        blocks = tuple(_gallery(generator, strips) for generator, strips in _strips(table).items())
        heading = _HEADINGS[self.show]
        return Drawing(f"{self.title}: {self.show}", f"{heading}.", blocks, heading=heading)

    def data(self, table: pa.Table) -> Table:
        columns = (
            Column("generator", "generator", numeric=False, group=True),
            Column("strip", "row", numeric=False),
            Column("images", "images"),
            Column("distance", "l2 to its generated image, mean"),
        )
        rows = []
        for generator, strips in _strips(table).items():
            for strip, members in strips.items():
                far = [row["distance"] for row in members if row["distance"] is not None]
                known = {"generator": label(generator), "strip": label(strip), "images": count(len(members))}
                rows.append(known | {"distance": number(float(np.mean(far)) if far else None)})
        return Table("generated", f"{self.title}: {self.show}", columns, tuple(rows))


_HEADINGS = {
    "training": "The same latents while the generator learnt",
    "interpolation": "Images on straight lines between pairs of latents",
    "neighbours": "Generated images, and the training images nearest to them in l2",
}


def _strips(table: pa.Table) -> dict[str, dict[str, list[dict[str, Any]]]]:
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["generator"], {}).setdefault(row["strip"], []).append(row)
    return found


def _gallery(generator: str, strips: dict[str, list[dict[str, Any]]]) -> Gallery:
    drawn = tuple(
        Strip(name, tuple(Tile(pixels_of(_image(row)), f"{name}, {row['number'] + 1}") for row in rows))
        for name, rows in strips.items()
    )
    return Gallery(generator, drawn, side=_SCALE * drawn[0].tiles[0].pixels.shape[0])


def _image(row: dict[str, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(row["pixels"], np.uint8).reshape(row["shape"])
