"""A classifier that a file holds whole, its code included: what TorchScript and `torch.export` programs share."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models._bounds import check_file
from robustbench_lite.models._checkpoint import refuse_what_is_no_weights
from robustbench_lite.models._in_file import InFile
from robustbench_lite.models.base import Card, Classifier
from robustbench_lite.models.finish import finish
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Program"]

_BESIDE = (".data/", "data/sample_inputs/", "traced_inputs")  # ids, and the images it was made with


class Program(InFile):
    """Loading runs what the file holds, so it needs trust; without mean and std it normalises images itself."""

    @model_validator(mode="after")
    def _stated(self) -> Program:
        missing = [key for key in self.unknown if getattr(self, key) is None]
        if missing:
            raise ValueError(f"'{', '.join(missing)}' must be stated for {self.registered}: the file does not say it")
        if (self.mean is None) != (self.std is None):
            raise ValueError("state both mean and std, or neither when the program normalises images itself")
        return self

    @property
    def unknown(self) -> tuple[str, ...]:
        """What the file does not say."""
        return ()

    @abstractmethod
    def _read(self, path: Path) -> tuple[nn.Module, tuple[int, ...], int]:
        """The network, the shape (C, H, W) of its images and the number of classes."""

    @property
    def runs_code(self) -> bool:
        return True

    def load(self, root: Path) -> Classifier:
        if not self.trust:
            raise ModelError(f"{self.title}: '{self.registered}:' runs code; say `trust: true` if you trust it")
        path, digest = self.present(root)
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
            arch=f"{self.registered} {path.name}",
            classes=self.classes or classes,
            size=(channels, height, width),
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source=f"{self.registered} {path.name}",
            sha256=digest,
        )


def _contents(path: Path) -> str:
    """A hash of what is in the archive, code and numbers; its name, which is that of its folder, does not matter."""
    with zipfile.ZipFile(path) as archive:
        entries = {name.partition("/")[2]: name for name in archive.namelist()}
        kept = sorted((name, full) for name, full in entries.items() if not name.startswith(_BESIDE))
        return fingerprint([[name, hashlib.sha256(archive.read(full)).hexdigest()] for name, full in kept])
