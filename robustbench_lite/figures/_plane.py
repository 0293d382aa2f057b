"""What figures over a grid through one image share: the image, the points, and what is stored of the logits there."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from robustbench_lite.datasets.base import images
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.figures._panels import META
from robustbench_lite.figures.base import Assets, Figure
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.results.evaluation import through
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Frame", "Planes", "Subject", "Through", "one_of_them"]


@dataclass(frozen=True)
class Subject:
    """One image x (1, C, H, W) with its id and true label, and the cells of its dataset by id."""

    dataset: str
    sample: str
    x: torch.Tensor
    label: int
    cells: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Frame:
    """The grid: `images` (points^2, C, H, W), row by row from below, and what is written on the axes."""

    images: torch.Tensor
    extent: tuple[float, float]
    axes: list[str]
    units: str
    marks: list[dict[str, Any]]


class Through(Figure):
    """A figure over a grid of images around one image."""

    dataset: str | None = Field(None, description="The dataset of the results; null: the first.")
    sample: str | None = Field(None, description="Id of the image, or its beginning; null: the first attacked.")
    points: int = Field(61, ge=3, le=1001, description="Points along each side of the grid.")

    @abstractmethod
    def columns(self, logits: torch.Tensor, label: int) -> dict[str, torch.Tensor]:
        """What is stored of the logits (n, K) at the points, beside where they are; label: the true class."""

    @abstractmethod
    def frame(self, results: Results, assets: Assets, subject: Subject) -> Frame:
        """The images on the grid. Raises UsageError."""

    def compute(self, results: Results, assets: Assets) -> pa.Table:
        dataset, sample = self._image(results)
        samples = assets.samples(dataset)
        index = samples.ids.index(sample)
        x, label = images(samples, slice(index, index + 1)), int(samples.labels[index])
        cells = {cell["cell"]: cell for cell in results.cell_table.to_pylist() if cell["dataset"] == dataset}
        frame = self.frame(results, assets, Subject(dataset, sample, x, label, cells))
        u, v = (part.ravel() for part in np.meshgrid(*(self.steps(extent) for extent in frame.extent)))
        parts = []
        for model in assets.models:
            logits = assets.scorer(model, x).logits(frame.images).double()
            stored = {name: column.numpy() for name, column in self.columns(logits, label).items()}
            parts.append(pa.table({"model": [model] * len(logits), "u": u, "v": v} | stored))
        facts = {
            "dataset": dataset,
            "sample": sample,
            "label": label,
            "classes": list(samples.classes),
            "axes": frame.axes,
            "marks": frame.marks,
            "points": self.points,
            "extent": list(frame.extent),
            "units": frame.units,
        }
        return pa.concat_tables(parts).replace_schema_metadata({META: json.dumps(facts)})

    def steps(self, extent: float) -> Any:
        """The coordinates along one axis (points,)."""
        return np.linspace(-extent, extent, self.points)

    def _image(self, results: Results) -> tuple[str, str]:
        """The dataset and the id of the image."""
        rows = results.sample_table.select(["dataset", "sample"]).to_pylist()
        if not rows:
            raise UsageError(f"{results.folder}: no samples there to draw a plane through")
        datasets = list(dict.fromkeys(row["dataset"] for row in rows))
        dataset = self.dataset or datasets[0]
        if dataset not in datasets:
            raise UsageError(f"unknown dataset '{dataset}'{did_you_mean(dataset, datasets)}")
        ids = list(dict.fromkeys(row["sample"] for row in rows if row["dataset"] == dataset))
        return dataset, one_of_them("sample", self.sample, ids) if self.sample else ids[0]


class Planes(Through):
    """A figure over the plane through an image: spanned by a gradient and a random direction, or by two attacks."""

    source: str | None = Field(None, description="The classifier whose gradient leads the way; null: the first.")
    toward: tuple[str, ...] | None = Field(
        None, description="Instead: two cells (ids, or their beginnings) whose perturbations span the plane."
    )
    extent: Number = Field(40, gt=0, description="How far the plane reaches each way, RMSD on the 0-255 scale.")
    seed: int = Field(0, ge=0, description="Of the random direction.")

    def frame(self, results: Results, assets: Assets, subject: Subject) -> Frame:
        x, cells = subject.x, subject.cells
        moves = {cell: move for cell in cells if (move := _perturbation(results, cell, subject.sample)) is not None}
        axes, names = self._plane(assets, cells, moves, x, subject.label, subject.sample)
        scale = x[0].numel() ** 0.5 / 255  # a direction of unit length moves every pixel by 1 / sqrt(n) RMS
        steps = self.steps(self.extent)
        u, v = (torch.from_numpy(part.ravel()).float() for part in np.meshgrid(steps, steps))
        grid = x + scale * (u[:, None] * axes[0] + v[:, None] * axes[1]).view(-1, *x.shape[1:])
        marks = [_mark(cells[cell], move, axes) for cell, move in moves.items()]
        units = "RMSD on the 0-255 scale; pixels are not clipped"
        return Frame(grid, (self.extent, self.extent), names, units, marks)

    def _plane(
        self,
        assets: Assets,
        cells: dict[str, dict[str, Any]],
        moves: dict[str, torch.Tensor],
        x: torch.Tensor,
        label: int,
        sample: str,
    ) -> tuple[torch.Tensor, list[str]]:
        """Two orthonormal directions (2, D), and what they are called."""
        if self.toward is None:
            names = assets.models
            source = self.source or names[0]
            if source not in names:
                raise UsageError(f"unknown classifier '{source}'{did_you_mean(source, names)}")
            first = _gradient(assets.scorer(source, x), x, label)
            second = Draw(keys(self.seed, "decision_regions", [sample])).normal("plane", (x[0].numel(),))[0]
            called = [f"gradient of {source}", "random orthogonal direction"]
        else:
            if len(self.toward) != 2:
                raise UsageError(f"toward: expected two cells, got {len(self.toward)}")
            ids = [one_of_them("cell with a stored image of this sample", cell, list(moves)) for cell in self.toward]
            first, second = (moves[cell] for cell in ids)
            called = [f"{cells[cell]['variant']} against {through(cells[cell])}" for cell in ids]
        first = first / first.norm()
        second = second - (second @ first) * first
        if float(second.norm()) < 1e-6:
            raise UsageError("toward: the two perturbations point the same way and span no plane")
        return torch.stack([first, second / second.norm()]), called


def one_of_them(what: str, wanted: str, known: list[str]) -> str:
    """The one of `known` that begins with `wanted`."""
    hits = [name for name in known if name.startswith(wanted)]
    if len(hits) != 1:
        found = "none does" if not hits else f"{len(hits)} do"
        raise UsageError(f"expected one {what} whose id begins with '{wanted}', {found}")
    return hits[0]


def _gradient(scorer: Scorer, x: torch.Tensor, label: int) -> torch.Tensor:
    """The direction (D,) in which the loss of the true label grows."""
    oracle = Oracle(scorer.module, scorer.device)
    oracle.open(1)
    view = oracle.differentiate(x.to(scorer.device))
    goal = Goal(torch.tensor([label], device=scorer.device), view.logits.shape[1])
    gradient, norm = view.gradient(goal.seed(view.logits))
    if float(norm[0]) == 0:
        raise UsageError(f"{scorer.name}: its gradient at this image is zero and gives no direction")
    return gradient[0].flatten().cpu()


def _perturbation(results: Results, cell: str, sample: str) -> torch.Tensor | None:
    """Adversarial minus clean (D,), where the image is stored."""
    for row in results.images(cell).to_pylist():
        if row["sample"] == sample:
            clean = np.frombuffer(row["clean"], np.uint8).astype(np.float32) / 255
            return torch.from_numpy(np.frombuffer(row["adversarial"], "<f4") - clean)
    return None


def _mark(cell: dict[str, Any], move: torch.Tensor, axes: torch.Tensor) -> dict[str, Any]:
    """Where an adversarial image lies: its coordinates on the plane, and how far it is off the plane."""
    scale = 255 / move.numel() ** 0.5
    on = axes @ move
    off = (move - on @ axes).norm()
    return {
        "name": f"{cell['variant']} against {through(cell)}",
        "u": float(on[0]) * scale,
        "v": float(on[1]) * scale,
        "off": f"{float(off) * scale:.1f}",
    }
