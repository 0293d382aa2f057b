"""What attacks do to images: clean, adversarial and difference, the same samples under every attack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, PositiveInt

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.figures.base import Assets, Figure, figures
from robustbench_lite.figures.drawing import Drawing, Gallery, Key, Strip, Tile, pixels_of
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import count, label

if TYPE_CHECKING:
    from robustbench_lite.results.evaluation import Evaluation
    from robustbench_lite.results.store import Results

__all__ = ["Examples"]

_FACTORS = (1, 2, 5, 10, 20, 50, 100)
_VISIBLE = 0.4  # of the distance from grey to black and white that the largest difference takes at least
_WON, _HELD, _WRONG = "#D55E00", "#009E73", "#999999"
_KEYS = (
    Key("right before, and the attack reached its goal", _WON, "frame"),
    Key("right before, and it did not", _HELD, "frame"),
    Key("wrong before any attack", _WRONG, "frame"),
)
_NOTE = "above each column the true class; below each picture what it is taken for, and how surely; grey: no change"
_ROWS = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("attack", pa.string()),
        ("sample", pa.string()),
        ("label", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("confidence", pa.float64()),
        ("success", pa.bool_()),
        ("shape", pa.list_(pa.int64())),
        ("clean", pa.binary()),  # 8 bits
        ("adversarial", pa.binary()),  # float32 little-endian
    ]
)


@figures.register("examples")
class Examples(Figure):
    """Clean and adversarial images with their difference, amplified by a stated factor around grey."""

    title: ClassVar[str] = "Clean, adversarial, difference"

    dataset: str | None = Field(None, description="Of the results; null: all.")
    model: str | None = Field(None, description="The classifier that was attacked itself; null: all.")
    attack: str | None = Field(None, description="As tables call it; null: all of the run.")
    images: PositiveInt = Field(
        4, description="In a row: of what was right before, that of which most attacks left one."
    )

    def compute(self, results: Results, assets: Assets) -> pa.Table:  # noqa: ARG002  (all of it is stored)
        every = [one for one in evaluations(results) if one.ok and one.own and not one.viewed]
        for key, wanted in (("dataset", self.dataset), ("model", self.model), ("variant", self.attack)):
            known = list(dict.fromkeys(getattr(one, key) for one in every))
            if wanted is not None and wanted not in known:
                raise UsageError(f"{results.folder}: no '{wanted}' there{did_you_mean(wanted, known)}")
            every = [one for one in every if wanted in {None, getattr(one, key)}]
        shown = self._shown(results, every)
        found = [row for one in every for row in _rows(results, one, shown[one.dataset, one.model])]
        if not found:
            raise UsageError(f"{results.folder}: no adversarial image is stored there; say `images: all` in the suite")
        return pa.Table.from_pylist(sorted(found, key=lambda row: (row["dataset"], row["model"])), schema=_ROWS)

    def _shown(self, results: Results, every: Sequence[Evaluation]) -> dict[tuple[str, str], list[str]]:
        """Of each dataset and classifier the samples that were right and of which most attacks left an image."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        right: dict[tuple[str, str], set[str]] = {}
        for one in every:
            key, own = (one.dataset, one.model), set(results.images(one.id)["sample"].to_pylist())
            counts.setdefault(key, Counter()).update(s for s in one.samples if s in own)
            right.setdefault(key, set()).update(np.array(one.samples)[one["clean_correct"]].tolist())
        return {
            key: sorted(found, key=lambda sample: (sample not in right[key], -found[sample]))[: self.images]
            for key, found in counts.items()
        }

    def drawing(self, table: pa.Table) -> Drawing:
        blocks = []
        for (dataset, model), part in groupby(table.to_pylist(), key=lambda row: (row["dataset"], row["model"])):
            blocks.append(_gallery(f"{dataset}, {model}", list(part)))
        frames = {tile.frame for block in blocks for strip in block.strips for tile in strip.tiles}
        keys = tuple(key for key in _KEYS if key.colour in frames)
        says = "Images as they were, after each attack, and the change, amplified; frames say what came of each."
        return Drawing(self.title, says, tuple(blocks), keys=keys, notes=(_NOTE,))

    def data(self, table: pa.Table) -> Table:
        keys = {"dataset": "dataset", "model": "classifier", "attack": "attack"}
        columns = (
            *(Column(key, title, numeric=False, group=key != "attack") for key, title in keys.items()),
            Column("images", "images shown"),
            Column("success", "of them successes"),
        )
        rows = []
        for key, part in groupby(table.to_pylist(), key=lambda row: tuple(row[name] for name in keys)):
            won = [row["success"] for row in part]
            known = dict(zip(keys, map(label, key), strict=True))
            rows.append(known | {"images": count(len(won)), "success": count(sum(won))})
        return Table("examples", self.title, columns, tuple(rows))


def _rows(results: Results, one: Evaluation, samples: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Those of these samples whose image is stored."""
    names = dict(enumerate(class_names(results, one.dataset)))
    scored = {row["sample"]: row for row in one.rows.to_pylist()}
    stored = {row["sample"]: row for row in results.images(one.id).to_pylist()}
    for sample in (sample for sample in samples if sample in stored):
        row, image = scored[sample], stored[sample]
        known = {"dataset": one.dataset, "model": one.model, "attack": one.variant, "sample": sample}
        said = {"label": "label", "clean_pred": "before", "adv_pred": "after"}
        known |= {to: names.get(row[key], str(row[key])) for key, to in said.items()}
        known |= {"confidence": row["adv_confidence"], "success": row["success"]}
        yield known | {key: image[key] for key in ("shape", "clean", "adversarial")}


def _gallery(heading: str, rows: list[dict[str, Any]]) -> Gallery:
    """The samples of a classifier: as they are, and under every attack; a sample without an image leaves a gap."""
    samples = {row["sample"]: row for row in rows}
    above = tuple(f"true: {row['label']}" for row in samples.values())
    clean = [Tile(_shown(_clean(row)), f"{row['label']}, clean", (_taken(row["before"]),)) for row in samples.values()]
    strips = [Strip("clean", tuple(clean))]
    for attack, part in groupby(rows, key=lambda row: row["attack"]):
        own = {row["sample"]: row for row in part}
        moves = {name: _adversarial(row) - _clean(row) for name, row in own.items()}
        factor = _factor(max(float(np.abs(move).max()) for move in moves.values()))
        strips.append(Strip(attack, tuple(_attacked(own.get(name), samples[name]) for name in samples)))
        gaps = {name: np.zeros(samples[name]["shape"]) for name in samples} | moves
        change = [Tile(_shown(0.5 + factor * move), f"change of {name}") for name, move in gaps.items()]
        strips.append(Strip(f"change x {factor}", tuple(change)))
    return Gallery(heading, tuple(strips), above)


def _attacked(row: dict[str, Any] | None, sample: dict[str, Any]) -> Tile:
    if row is None:
        return Tile(_shown(np.full(sample["shape"], 0.5)), "no image is stored", ("not stored",))
    below = (_taken(row["after"]), f"{row['confidence']:.0%}" if row["confidence"] is not None else "")
    frame = _WRONG if row["before"] != row["label"] else _WON if row["success"] else _HELD
    return Tile(_shown(_adversarial(row)), f"taken for {row['after']}", below, frame)


def _taken(name: str) -> str:
    return f"\u2192 {name}"


def _factor(largest: float) -> int:
    """The smallest factor that makes a difference visible, and the largest that does not leave the picture."""
    return next((factor for factor in _FACTORS if factor * largest >= _VISIBLE), _FACTORS[-1])


def _clean(row: dict[str, Any]) -> npt.NDArray[np.float64]:
    return np.frombuffer(row["clean"], np.uint8).reshape(row["shape"]) / 255


def _adversarial(row: dict[str, Any]) -> npt.NDArray[np.float64]:
    return np.frombuffer(row["adversarial"], "<f4").reshape(row["shape"]).astype(np.float64)


def _shown(image: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """[0, 1] to 8 bits, halves up, as the judge rounds."""
    return pixels_of(np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
