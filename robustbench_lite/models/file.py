"""Weights in a file of the user's, for one of our architectures. Files cannot run code here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import load_state, misfit
from robustbench_lite.models._fit import fitting
from robustbench_lite.models._in_file import InFile
from robustbench_lite.models.base import Card, Classifier, models
from robustbench_lite.models.finish import channels_last, finish
from robustbench_lite.models.recognised import recognised
from robustbench_lite.text import plural

if TYPE_CHECKING:
    from torch import nn

__all__ = ["File"]


@models.register("file")
class File(InFile):
    """A state dict (.safetensors, .pt, .pth) for a known architecture; mean and std must be stated."""

    file: str = Field(description="The weights file.")
    arch: Annotated[str, AfterValidator(archs.known)] = Field(
        description="Name of the architecture; `list models` shows ours, torchvision:NAME and timm:NAME are others."
    )
    key: str | None = Field(
        None, description="Which entry of a checkpoint holds the weights, where there are several: state_dict_ema."
    )

    @model_validator(mode="after")
    def _stated(self) -> File:
        missing = [key for key in ("mean", "std", "size", "classes") if getattr(self, key) is None]
        if missing:
            raise ValueError(
                f"'{', '.join(missing)}' must be stated for a file; no normalisation is `mean: [0], std: [1]`"
            )
        return self

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        if self._path(root) is None:
            return
        key = "file"
        try:
            path, _ = self.present(root)
            key = "arch"
            net = self._empty()
            key = "file"
            part = fitting(net, path, self.title, self.key)
        except ModelError as error:
            yield key, str(error)
        else:
            if complaint := misfit(net, part.state, part.told(path.name)):
                yield "arch", f"{self.title}: {complaint}{self._rather(path)}"

    def _empty(self) -> nn.Module:
        """The network without memory for its weights. Raises ModelError."""
        assert self.size and self.classes
        try:
            with torch.device("meta"):
                return archs.build(self.arch, self.size[0], self.classes)
        except NotImplementedError:  # torchvision's RegNets compute their widths with tensors
            return archs.build(self.arch, self.size[0], self.classes)

    def _rather(self, path: Path) -> str:
        """What the weights are of instead, where that is known."""
        assert self.size
        try:
            found = recognised(path)
        except ModelError:
            return ""
        if found.arch != self.arch:
            return f"; they are those of '{found.arch}'"
        return f"; they are for {found.classes} classes and images of {plural(found.channels, 'channel')}"

    def load(self, root: Path) -> Classifier:
        path, digest = self.present(root)
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
        made = finish(card, channels_last(net) if self.arch in archs.ARCHITECTURES else net)
        return replace(made, code=archs.code(self.arch), notes=(*part.notes(path.name), *made.notes))
