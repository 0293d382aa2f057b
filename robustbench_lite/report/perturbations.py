"""What an attack made for all samples together, as pictures: a perturbation, amplified, beside its control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.figures.sheets import as_uri
from robustbench_lite.results.evaluation import through

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Perturbation", "perturbations"]

_CALLED = {"perturbation": "the perturbation", "control": "random, of the same size"}


@dataclass(frozen=True)
class Perturbation:
    """The pictures (data URIs) of one cell, each with what it is called and how much it is amplified."""

    title: str
    images: list[tuple[str, str, str]]


def perturbations(results: Results) -> list[Perturbation]:
    """One for each cell that has something of the kind, in the order of the run."""
    cells = {cell["cell"]: cell for cell in results.cell_table.to_pylist() if cell["status"] == "ok"}
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in results.artifacts().to_pylist():
        if row["cell"] in cells and (picture := _picture(row)) is not None:
            found.setdefault(row["cell"], []).append(picture)
    return [
        Perturbation(f"{through(cells[cell])} · {cells[cell]['variant']}", images) for cell, images in found.items()
    ]


def _picture(row: Row) -> tuple[str, str, str] | None:
    """(data URI, name, factor); None for what is no picture. Values of either sign are shown around grey."""
    values = np.nan_to_num(np.frombuffer(row["values"], "<f4").reshape(row["shape"]))
    values = values[0] if values.ndim == 4 and len(values) == 1 else values
    if values.ndim != 3 or values.shape[0] not in {1, 3}:
        return None
    name = _CALLED.get(row["name"], row["name"].replace("_", " "))
    largest = float(np.abs(values).max())
    if values.min() >= 0:
        shown, factor = values, "as it is"
    else:
        shown, factor = 0.5 + 0.5 * values / largest, f"change \u00d7 {0.5 / largest:.0f}, grey: none"
    return as_uri((np.clip(shown, 0, 1) * 255).round().astype(np.uint8)), name, factor
