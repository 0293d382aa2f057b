"""Datasets that a suite can name although the package does not ship them: found where they lie, or fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from robustbench_lite.datasets._decode import ImageSource, arrays
from robustbench_lite.datasets._labels import labelled
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.parquet import Parquet
from robustbench_lite.datasets.stream import Reader, Stream, parts
from robustbench_lite.datasets.torchvision import Torchvision
from robustbench_lite.errors import DataError
from robustbench_lite.registry import one_of
from robustbench_lite.threat.ids import pixel_id, unique_ids

__all__ = ["NAMES", "OnDemand"]

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES: dict[str, tuple[str, tuple[str, ...]]] = {  # name -> class in torchvision.datasets, class names if fixed here
    "cifar10": ("CIFAR10", _CIFAR10),
    "cifar100": ("CIFAR100", ()),
    "svhn": ("SVHN", tuple(str(digit) for digit in range(10))),
}
_SHARD = re.compile(r"-\d{5}-of-")  # how Hugging Face numbers the files of one half


@datasets.register("on_demand")
class OnDemand(ImageSource):
    """A well-known dataset, from torchvision's folder or from Parquet files NAME/SPLIT*.parquet."""

    on_demand: Annotated[str, one_of("dataset", lambda: NAMES)] = Field(description="Its name, such as cifar10.")
    split: Literal["train", "test"] = Field("test", description="Which half.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        if next(self._files(root), None) is None and any(self._torchvision().absent(root)):
            yield "on_demand", self._missing()
        yield from super().absent(root)

    def fetch(self, root: Path) -> None:
        """Download with torchvision, unless it is there already; needs a connection."""
        try:
            self.load(root)
        except DataError:
            self._torchvision().fetch(root)

    def load(self, root: Path) -> Samples:
        if (file := next(self._files(root), None)) is not None:
            shards = _SHARD.sub("-*-of-", file.name)
            found = Parquet(parquet=str(file.with_name(shards)), damaged=self.damaged).load(root)
        else:
            try:
                found = self._torchvision().load(root)
            except DataError:
                raise DataError(self._missing()) from None
        named = found.naming == "names"
        raw = [found.classes[label] if named else label for label in found.labels.tolist()]
        known = labelled(raw, self.labels, NAMES[self.on_demand][1] or found.classes, where=self._place)
        # from pixels: the same sample wherever it was found
        ids = unique_ids(pixel_id(image) for part in parts(found.images) for image in part)
        reader = self.refitted(self._reader(found))
        return self.gather(self.on_demand, ids, known, reader, decided=found.decided)

    def _reader(self, found: Samples) -> Reader:
        """The images that were found, by their places among them."""
        stream = found.images
        if not isinstance(stream, Stream):
            return arrays(stream, self.on_demand)
        inner, places = stream.decoder.reader, stream.places
        return Reader(lambda index: inner.read(places[index].tolist()), inner.decode, inner.quick)

    def _place(self, number: int) -> str:
        return f"{self.on_demand}: image {number}"

    def _torchvision(self) -> Torchvision:
        return Torchvision(torchvision=NAMES[self.on_demand][0], split=self.split)

    def _files(self, root: Path) -> Iterator[Path]:
        """Parquet files of this split: NAME/test*.parquet, or one folder deeper, as Hugging Face has them."""
        places = [root, Path("data")]
        if data := os.environ.get("ROBUSTBENCH_LITE_DATA"):
            places.insert(0, Path(data))
        for place in places:
            folder = place / self.on_demand
            yield from sorted(folder.glob(f"{self.split}*.parquet")) + sorted(folder.glob(f"*/{self.split}*.parquet"))

    def _missing(self) -> str:
        return (
            f"{self.on_demand} is not on this machine: run `fetch` on this suite where there is a connection, or point "
            f"ROBUSTBENCH_LITE_DATA at a folder with torchvision's download or {self.on_demand}/{self.split}.parquet; "
            "images of your own: `data: {mine: {folder: images}}` (docs/datasets.md)"
        )
