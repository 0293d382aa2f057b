"""Samples that come with the package, so that the first run needs no download: `mnist`, `fashion_mnist`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from robustbench_lite.datasets._decode import ImageSource, arrays
from robustbench_lite.datasets._labels import labelled
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.on_demand import NAMES
from robustbench_lite.registry import one_of

__all__ = ["FOLDER", "Bundled", "Facts", "available"]

FOLDER = Path(__file__).parent / "bundled_samples"


@dataclass(frozen=True)
class Facts:
    """What a bundled dataset says of itself."""

    name: str
    description: str
    source: str
    licence: str
    n: int


def _names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.parquet"))


def available() -> list[Facts]:
    """The bundled datasets with source and licence."""
    out = []
    for name in _names():
        file = pq.ParquetFile(FOLDER / f"{name}.parquet")
        meta = file.schema_arrow.metadata
        text = {key: meta[key.encode()].decode() for key in ("description", "source", "licence")}
        out.append(Facts(name, text["description"], text["source"], text["licence"], file.metadata.num_rows))
    return out


@datasets.register("bundled")
class Bundled(ImageSource):
    """Images that ship with the package."""

    bundled: Annotated[str, one_of("dataset", _names, lambda: NAMES)] = Field(
        description="Name of the bundled dataset."
    )

    def load(self, root: Path) -> Samples:  # noqa: ARG002
        table = pq.ParquetFile(FOLDER / f"{self.bundled}.parquet").read()  # `read_table` imports pandas
        meta = table.schema.metadata
        shape = tuple(int(part) for part in meta[b"shape"].decode().split("x"))
        pixels = np.frombuffer(b"".join(table["image"].to_pylist()), np.uint8).reshape(-1, *shape)
        ids = tuple(table["sample"].to_pylist())
        classes = meta[b"classes"].decode().split("\t")
        known = labelled(table["label"].to_pylist(), self.labels, classes, where=lambda i: f"{self.bundled}: image {i}")
        return self.gather(self.bundled, ids, known, self.refitted(arrays(pixels, self.bundled)))
