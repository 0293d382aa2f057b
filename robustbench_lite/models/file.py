"""Weights in a file of the user's, for one of our architectures. Files cannot run code here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import load_state
from robustbench_lite.models._fit import fitting
from robustbench_lite.models.base import Card, Classifier, ModelSource, models
from robustbench_lite.models.finish import channels_last, finish, sha256_of
from robustbench_lite.registry import one_of

__all__ = ["File"]


@models.register("file")
class File(ModelSource):
    """A state dict (.safetensors, .pt, .pth) for a known architecture; mean and std must be stated."""

    file: str = Field(description="The weights file.")
    arch: Annotated[str, one_of("architecture", lambda: archs.ARCHITECTURES)] = Field(
        description="Name of the architecture; `list models` shows them."
    )
    key: str | None = Field(
        None, description="Which entry of a checkpoint holds the weights, where there are several: state_dict_ema."
    )
    sha256: str | None = Field(None, description="Refuse the file when its sha256 differs.")

    @model_validator(mode="after")
    def _stated(self) -> File:
        missing = [key for key in ("mean", "std", "size", "classes") if getattr(self, key) is None]
        if missing:
            raise ValueError(
                f"'{', '.join(missing)}' must be stated for a file; no normalisation is `mean: [0], std: [1]`"
            )
        return self

    @property
    def title(self) -> str:
        return self.name or Path(self.file).stem

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        if self._path(root) is None:
            yield "file", self._missing()

    def _path(self, root: Path) -> Path | None:
        return next((place for place in (root / self.file, Path.cwd() / self.file) if place.is_file()), None)

    def _missing(self) -> str:
        return f"{self.title}: no file '{self.file}' under the suite's folder or the current one"

    def load(self, root: Path) -> Classifier:
        path = self._path(root)
        if path is None:
            raise ModelError(self._missing())
        digest = sha256_of(path)
        if self.sha256 and digest != self.sha256.lower():
            raise ModelError(f"{self.title}: sha256 of '{path.name}' is {digest}, expected {self.sha256}")
        assert self.mean and self.std and self.size and self.classes
        net = archs.build(self.arch, self.size[0], self.classes)
        part = fitting(net, path, self.title, self.key)
        load_state(net, part.state, self.title, part.told(path.name))
        card = Card(
            name=self.title,
            arch=self.arch,
            classes=self.classes,
            size=self.size,
            mean=self.mean,
            std=self.std,
            source=f"file {path.name}",
            sha256=digest,
        )
        made = finish(card, channels_last(net))
        return replace(made, code=archs.code(self.arch), notes=(*part.notes(path.name), *made.notes))
