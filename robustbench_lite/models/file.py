"""Weights in a file of the user's, for one of our architectures. Files cannot run code here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import load_state
from robustbench_lite.models._fit import fitting
from robustbench_lite.models._in_file import InFile
from robustbench_lite.models.base import Card, Classifier, models
from robustbench_lite.models.finish import channels_last, finish

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
