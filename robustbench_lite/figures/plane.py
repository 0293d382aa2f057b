"""What figures over a plane through one image share: the plane, its points, the marks on it, and the panels."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.figure import Figure
from robustbench_lite.groups import through
from robustbench_lite.judge import look
from robustbench_lite.lazy import torch
from robustbench_lite.oracle import Oracle
from robustbench_lite.registry import Number
from robustbench_lite.rng import Draw, keys
from robustbench_lite.svg import document, element
from robustbench_lite.threat import Goal

if TYPE_CHECKING:
    from robustbench_lite.bench import Bench
    from robustbench_lite.store import Results

__all__ = ["Plane", "Planes"]

META = b"robustbench_lite.figure"
_SIDE, _GAP, _TOP, _LEFT = 190, 34, 58, 46  # of a panel, in pixels


@dataclass(frozen=True)
class Plane:
    """Stored rows as panels: per classifier a value at every point (models, points, points), and what is known."""

    facts: dict[str, Any]
    models: list[str]
    values: npt.NDArray[Any]

    @classmethod
    def of(cls, table: pa.Table, column: str) -> Plane:
        facts = json.loads(table.schema.metadata[META])
        models = list(dict.fromkeys(table["model"].to_pylist()))
        values = np.array(table[column].to_pylist()).reshape(len(models), facts["points"], facts["points"])
        return cls(facts, models, values)

    @property
    def heading(self) -> str:
        return f"{self.facts['dataset']} {self.facts['sample']}, labelled {self.name(self.facts['label'])}"

    @property
    def centre(self) -> tuple[int, int]:
        """The point nearest to the image itself."""
        return self.facts["points"] // 2, self.facts["points"] // 2

    def name(self, label: int) -> str:
        return str(self.facts["classes"][label])

    def draw(self, title: str, says: str, colours: Sequence[str], keys: Sequence[tuple[str, str]]) -> str:
        """An SVG document: values are places in `colours`; `keys` are colours with what they mean."""
        width = max(_LEFT + len(self.models) * (_SIDE + _GAP), 800)
        rows = -(-len(keys) // 5)
        height = _TOP + _SIDE + 84 + 18 * (rows + max(1, len(self.facts["marks"])))
        parts = [element("rect", width=width, height=height, fill="white")]
        parts.append(element("text", text=self.heading, x=_LEFT, y=20, font_size=14, font_weight=600))
        for i, model in enumerate(self.models):
            at = _LEFT + i * (_SIDE + _GAP)
            panel = _panel(model, self.values[i], colours, self.facts)
            parts += [element("g", panel, transform=f"translate({at},{_TOP})")]
        parts += _legend(self.facts, keys, _TOP + _SIDE + 48)
        axes = " and ".join(self.facts["axes"])
        return document(width, height, f"{title}: {self.heading}", f"{says} Spanned by {axes}.", parts)


class Planes(Figure):
    """A figure over the plane through an image: spanned by a gradient and a random direction, or by two attacks."""

    dataset: str | None = Field(None, description="The dataset of the results; null: the first.")
    sample: str | None = Field(None, description="Id of the image, or its beginning; null: the first attacked.")
    source: str | None = Field(None, description="The classifier whose gradient leads the way; null: the first.")
    toward: tuple[str, ...] | None = Field(
        None, description="Instead: two cells (ids, or their beginnings) whose perturbations span the plane."
    )
    extent: Number = Field(40, gt=0, description="How far the plane reaches each way, RMSD on the 0-255 scale.")
    points: int = Field(61, ge=3, le=1001, description="Points along each side of the grid.")
    seed: int = Field(0, ge=0, description="Of the random direction.")

    @abstractmethod
    def columns(self, logits: torch.Tensor, label: int) -> dict[str, torch.Tensor]:
        """What is stored of the logits (n, K) at the points, beside where they are; label: the true class."""

    def compute(self, results: Results, bench: Bench) -> pa.Table:
        dataset, sample = self._image(results)
        samples = bench.samples(dataset)
        index = samples.ids.index(sample)
        x, label = torch.from_numpy(samples.images[index : index + 1]).float() / 255, int(samples.labels[index])
        found = {cell["cell"]: cell for cell in results.cell_table.to_pylist() if cell["dataset"] == dataset}
        moves = {cell: move for cell in found if (move := _perturbation(results, cell, sample)) is not None}
        axes, names = self._plane(bench, found, moves, x, label, sample)
        steps = np.linspace(-self.extent, self.extent, self.points)
        scale = x[0].numel() ** 0.5 / 255  # a direction of unit length moves every pixel by 1 / sqrt(n) RMS
        u, v = (torch.from_numpy(part.ravel()).float() for part in np.meshgrid(steps, steps))
        grid = x + scale * (u[:, None] * axes[0] + v[:, None] * axes[1]).view(-1, *x.shape[1:])
        parts = []
        for model in bench.suite.models:
            module = bench.classifier(model.title).module
            logits = look(module, grid, bench.device, bench.batch_for(x)).double()
            place = {"model": [model.title] * len(logits), "u": u.double().numpy(), "v": v.double().numpy()}
            stored = {name: column.numpy() for name, column in self.columns(logits, label).items()}
            parts.append(pa.table(place | stored))
        facts = {
            "dataset": dataset,
            "sample": sample,
            "label": label,
            "classes": list(samples.classes),
            "axes": names,
            "marks": [_mark(found[cell], move, axes) for cell, move in moves.items()],
            "points": self.points,
            "extent": self.extent,
        }
        return pa.concat_tables(parts).replace_schema_metadata({META: json.dumps(facts)})

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
        return dataset, _one("sample", self.sample, ids) if self.sample else ids[0]

    def _plane(
        self,
        bench: Bench,
        cells: dict[str, dict[str, Any]],
        moves: dict[str, torch.Tensor],
        x: torch.Tensor,
        label: int,
        sample: str,
    ) -> tuple[torch.Tensor, list[str]]:
        """Two orthonormal directions (2, D), and what they are called."""
        if self.toward is None:
            names = [model.title for model in bench.suite.models]
            source = self.source or names[0]
            if source not in names:
                raise UsageError(f"unknown classifier '{source}'{did_you_mean(source, names)}")
            first = _gradient(bench, source, x, label)
            second = Draw(keys(self.seed, "decision_regions", [sample])).normal("plane", (x[0].numel(),))[0]
            called = [f"gradient of {source}", "random orthogonal direction"]
        else:
            if len(self.toward) != 2:
                raise UsageError(f"toward: expected two cells, got {len(self.toward)}")
            ids = [_one("cell with a stored image of this sample", cell, list(moves)) for cell in self.toward]
            first, second = (moves[cell] for cell in ids)
            called = [f"{cells[cell]['variant']} against {through(cells[cell])}" for cell in ids]
        first = first / first.norm()
        second = second - (second @ first) * first
        if float(second.norm()) < 1e-6:
            raise UsageError("toward: the two perturbations point the same way and span no plane")
        return torch.stack([first, second / second.norm()]), called


def _one(what: str, wanted: str, known: list[str]) -> str:
    """The one of `known` that begins with `wanted`."""
    hits = [name for name in known if name.startswith(wanted)]
    if len(hits) != 1:
        found = "none does" if not hits else f"{len(hits)} do"
        raise UsageError(f"expected one {what} whose id begins with '{wanted}', {found}")
    return hits[0]


def _gradient(bench: Bench, source: str, x: torch.Tensor, label: int) -> torch.Tensor:
    """The direction (D,) in which the loss of the true label grows."""
    oracle = Oracle(bench.classifier(source).module, bench.device)
    oracle.open(1)
    view = oracle.differentiate(x.to(bench.device))
    goal = Goal(torch.tensor([label], device=bench.device), view.logits.shape[1])
    gradient, norm = view.gradient(goal.seed(view.logits))
    if float(norm[0]) == 0:
        raise UsageError(f"{source}: its gradient at this image is zero and gives no direction")
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
        "off": float(off) * scale,
    }


def _panel(model: str, found: npt.NDArray[Any], colours: Sequence[str], facts: dict[str, Any]) -> Iterator[str]:
    cell = _SIDE / facts["points"]
    for i, line in enumerate(found):
        y, start = _SIDE - (i + 1) * cell, 0
        for k, same in groupby(line.tolist()):  # one rectangle for each run of equal values
            length = len(list(same))
            box = {"x": start * cell, "y": y, "width": length * cell, "height": cell + 0.4}
            yield element("rect", fill=colours[k], shape_rendering="crispEdges", **box)
            start += length
    yield element("rect", width=_SIDE, height=_SIDE, fill="none", stroke="#333")
    yield element("text", text=model, y=-8, font_weight=600)
    for value in (-facts["extent"], 0, facts["extent"]):
        at = _place(value, facts)
        yield element("text", text=f"{value:g}", x=at, y=_SIDE + 14, text_anchor="middle")
        yield element("text", text=f"{value:g}", x=-5, y=_SIDE - at + 4, text_anchor="end")
    yield _dot(0.0, 0.0, "0", facts)
    for i, mark in enumerate(facts["marks"], 1):
        if max(abs(mark["u"]), abs(mark["v"])) <= facts["extent"]:
            yield _dot(mark["u"], mark["v"], str(i), facts)


def _place(value: float, facts: dict[str, Any]) -> float:
    return float(_SIDE * (value + facts["extent"]) / (2 * facts["extent"]))


def _dot(u: float, v: float, name: str, facts: dict[str, Any]) -> str:
    x, y = _place(u, facts), _SIDE - _place(v, facts)
    circle = element("circle", cx=x, cy=y, r=6.5, fill="white", stroke="black")
    return circle + element("text", text=name, x=x, y=y + 3.5, text_anchor="middle", font_size=9)


def _legend(facts: dict[str, Any], keys: Sequence[tuple[str, str]], top: float) -> Iterator[str]:
    across, up = facts["axes"]
    yield element("text", text=f"across: {across}; up: {up}", x=_LEFT, y=top - 14.0)
    yield element("text", text="units: RMSD on the 0-255 scale; pixels are not clipped", x=_LEFT, y=top + 2.0)
    top += 22.0
    for i, (colour, meaning) in enumerate(keys):
        x, y = _LEFT + (i % 5) * 150.0, top + 18.0 * (i // 5)
        yield element("rect", x=x, y=y - 9, width=11, height=11, fill=colour)
        yield element("text", text=meaning, x=x + 16, y=y + 1)
    top += 18.0 * -(-len(keys) // 5)
    lines = ["0: the image itself"] if not facts["marks"] else []
    for i, mark in enumerate(facts["marks"], 1):
        inside = max(abs(mark["u"]), abs(mark["v"])) <= facts["extent"]
        seen = f"{mark['off']:.1f} off the plane, drawn at its projection" if inside else "beyond the frame"
        lines.append(f"{i}: {mark['name']} ({seen})")
    for i, line in enumerate(lines):
        yield element("text", text=line, x=_LEFT, y=top + 18.0 * i + 1)
