"""Sums of latents as images, and how often they are what they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from robustbench_lite.errors import StoreError, UsageError, did_you_mean
from robustbench_lite.figures._panels import META
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing, Gallery, Strip, Tile, pixels_of
from robustbench_lite.results.made import SUMMED
from robustbench_lite.results.statistics import Estimate
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.values import MISSING, count, label, share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["LatentArithmetic", "added_up"]

_TERMS = ("thick", "less thin", "plus thin")
_ABOVE = (*(text for term in _TERMS for text in (term, "", "", "mean")), "sum")
_ROWS = pa.schema(
    [("generator", pa.string()), ("number", pa.int64()), ("shape", pa.list_(pa.int64())), ("pixels", pa.binary())]
)
_HEADING = "Three thick ones of a class, less three thin ones of it, plus three thin ones of another class"
_COLUMNS = (
    Column("generator", "generator", numeric=False),
    Column("of", "three and three", numeric=False),
    Column("both", "both [95 %]", "%", interval=True),
    Column("class", "other class [95 %]", "%", interval=True),
    Column("ink", "more ink [95 %]", "%", interval=True),
    Column("n", "n"),
)
_KINDS = {"arithmetic": "thick, thin", "arithmetic_control": "any of the class"}


def added_up(scores: Mapping[str, float]) -> str:
    """What became of a generator's sums, in a sentence; empty where there are none."""
    if "arithmetic" not in scores:
        return ""
    ours, control = (_estimate(scores, key) for key in _KINDS)
    return (
        f"of {ours.n:,} sums {share(ours).text} % show the other class with more ink than each of its three thin ones; "
        f"{share(control).text} % where the three and three are any of their class"
    )


def _estimate(scores: Mapping[str, float], key: str) -> Estimate:
    return Estimate(scores[key], scores[f"{key}_low"], scores[f"{key}_high"], int(scores["arithmetic_sums"]))


@figures.register("latent_arithmetic")
class LatentArithmetic(Figure):
    """Sums of latents, three exemplars a term, as in figure 7 of https://arxiv.org/abs/1511.06434; of ink, with shares.

    Thick and thin are the upper and the lower third of a class by its ink, the mean of pixels.
    """

    title: ClassVar[str] = "Latent arithmetic"

    generator: str | None = Field(None, description="As tables call it; null: all of the run that have some.")

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        cells = results.generator_table.to_pylist()
        names = [cell["name"] for cell in cells]
        if self.generator is not None and self.generator not in names:
            raise UsageError(
                f"no generator '{self.generator}' in {results.folder}{did_you_mean(self.generator, names)}"
            )
        wanted = [cell for cell in cells if self.generator in {None, cell["name"]}]
        rows = [row for cell in wanted for row in _stored(results, cell)]
        if not rows:
            raise UsageError(
                f"{results.folder}: no sums of latents are stored there: too few images, classes, or points"
            )
        known = {row["generator"] for row in rows}
        scores = {cell["name"]: json.loads(cell["scores"]) for cell in wanted if cell["name"] in known}
        return pa.Table.from_pylist(rows, schema=_ROWS).replace_schema_metadata({META: json.dumps(scores)})

    def drawing(self, table: pa.Table) -> Drawing:
        blocks = tuple(_gallery(name, rows) for name, rows in _by_generator(table).items())
        notes = tuple(f"{name}: {added_up(scores)}." for name, scores in _scores(table).items())
        return Drawing(self.title, f"{_HEADING}. {' '.join(notes)}", blocks, heading=_HEADING, notes=notes)

    def data(self, table: pa.Table) -> Table:
        rows = [_line(name, scores, key) for name, scores in _scores(table).items() for key in _KINDS]
        return Table("latent_arithmetic", self.title, _COLUMNS, tuple(rows))


def _stored(results: Results, cell: Row) -> list[dict[str, Any]]:
    try:
        found = results.generated(cell["cell"]).to_pylist()
    except StoreError as error:
        raise UsageError(str(error)) from error
    rows = sorted((row for row in found if row["kind"] == "arithmetic"), key=lambda row: row["number"])
    return [{"generator": cell["name"]} | {key: row[key] for key in ("number", "shape", "pixels")} for row in rows]


def _scores(table: pa.Table) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(table.schema.metadata[META])
    return found


def _by_generator(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["generator"], []).append(row)
    return found


def _gallery(name: str, rows: list[dict[str, Any]]) -> Gallery:
    images = [pixels_of(np.frombuffer(row["pixels"], np.uint8).reshape(row["shape"])) for row in rows]
    sums = [images[start : start + SUMMED] for start in range(0, len(images), SUMMED)]
    strips = tuple(
        Strip(f"sum {i}", tuple(Tile(image, f"sum {i}, {_said(place)}") for place, image in enumerate(one)))
        for i, one in enumerate(sums, 1)
    )
    return Gallery(name, strips, _ABOVE, side=2 * images[0].shape[0])


def _said(place: int) -> str:
    """What stands at a place of a row."""
    term, number = divmod(place, 4)
    return "the sum" if term == len(_TERMS) else f"{_TERMS[term]}, {'mean' if number == 3 else number + 1}"


def _line(name: str, scores: dict[str, float], key: str) -> dict[str, Value]:
    shares = {column: f"{key}{end}" for column, end in (("both", ""), ("class", "_class"), ("ink", "_ink"))}
    told = {column: share(_estimate(scores, one)) if one in scores else MISSING for column, one in shares.items()}
    return {"generator": label(name), "of": label(_KINDS[key]), **told, "n": count(int(scores["arithmetic_sums"]))}
