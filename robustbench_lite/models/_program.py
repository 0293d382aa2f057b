"""A classifier that a file holds whole, its code included: what TorchScript and `torch.export` programs share."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models._bounds import check_file
from robustbench_lite.models._checkpoint import refuse_what_is_no_weights
from robustbench_lite.models.base import Card, Classifier, ModelSource
from robustbench_lite.models.finish import finish, sha256_of
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Program"]

_BESIDE = (".data/", "data/sample_inputs/", "traced_inputs")  # ids, and the images it was made with


class Program(ModelSource):
    """Loading runs what the file holds, so it needs trust; without mean and std it normalises images itself."""

    source: ClassVar[str]  # the key in a suite

    sha256: str | None = Field(None, description="Refuse the file when its sha256 differs.")

    @model_validator(mode="after")
    def _stated(self) -> Program:
        missing = [key for key in self.unknown if getattr(self, key) is None]
        if missing:
            raise ValueError(f"'{', '.join(missing)}' must be stated for {self.source}: the file does not say it")
        if (self.mean is None) != (self.std is None):
            raise ValueError("state both mean and std, or neither when the program normalises images itself")
        return self

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the file does not say."""
        return ()

    @property
    @abstractmethod
    def file(self) -> str:
        """The file, as the suite names it."""

    @abstractmethod
    def _read(self, path: Path) -> tuple[nn.Module, tuple[int, ...], int]:
        """The network, the shape (C, H, W) of its images and the number of classes."""

    @property
    def title(self) -> str:
        return self.name or Path(self.file).stem

    @property
    def runs_code(self) -> bool:
        return True

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        if self._path(root) is None:
            yield self.source, self._missing()

    def _path(self, root: Path) -> Path | None:
        return next((place for place in (root / self.file, Path.cwd() / self.file) if place.is_file()), None)

    def _missing(self) -> str:
        return f"{self.title}: no file '{self.file}' under the suite's folder or the current one"

    def load(self, root: Path) -> Classifier:
        path = self._path(root)
        if not self.trust:
            raise ModelError(f"{self.title}: '{self.source}:' runs code; say `trust: true` if you trust it")
        if path is None:
            raise ModelError(self._missing())
        digest = sha256_of(path)
        if self.sha256 and digest != self.sha256.lower():
            raise ModelError(f"{self.title}: sha256 of '{path.name}' is {digest}, expected {self.sha256}")
        refuse_what_is_no_weights(path, self.title)
        check_file(path, self.title)
        with blamed(f"{self.title}: '{path.name}' cannot be loaded", ModelError, "load"), undisturbed():
            warnings.simplefilter("ignore")  # PyTorch advises whoever wrote the file
            net, size, classes = self._read(path)
        classifier = finish(self._card(path, size, classes, digest), net)
        code = _contents(path)
        return replace(classifier, weights=fingerprint([classifier.weights, code]), code=code)

    def _card(self, path: Path, size: tuple[int, ...], classes: int, digest: str) -> Card:
        if self.size is not None and self.size != size:
            raise ModelError(f"{self.title}: size: the program takes images {list(size)}, got {list(self.size)}")
        channels, height, width = size
        return Card(
            name=self.title,
            arch=f"{self.source} {path.name}",
            classes=self.classes or classes,
            size=(channels, height, width),
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source=f"{self.source} {path.name}",
            sha256=digest,
        )


def _contents(path: Path) -> str:
    """A hash of what is in the archive, code and numbers; its name, which is that of its folder, does not matter."""
    with zipfile.ZipFile(path) as archive:
        entries = {name.partition("/")[2]: name for name in archive.namelist()}
        kept = sorted((name, full) for name, full in entries.items() if not name.startswith(_BESIDE))
        return fingerprint([[name, hashlib.sha256(archive.read(full)).hexdigest()] for name, full in kept])
