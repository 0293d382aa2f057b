"""An ONNX graph: `onnx: net.onnx`, for its gradients converted to PyTorch and held against onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from robustbench_lite.engine.inspection import differences
from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed, told, undisturbed
from robustbench_lite.lazy import torch
from robustbench_lite.models._extra import needed
from robustbench_lite.models._in_file import InFile
from robustbench_lite.models._onnx import Face, content, face, read, rewritten, with_output
from robustbench_lite.models.base import Card, Classifier, models
from robustbench_lite.models.finish import finish
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

__all__ = ["Onnx"]

_IMAGES = 4  # dimensions
_PROBED = 16  # images of noise, dark ones to bright ones


@models.register("onnx")
class Onnx(InFile):
    """A graph of images; it carries no code. Where it cannot be converted, attacks that need a gradient are refused."""

    onnx: str = Field(description="The .onnx file; weights in files beside it are found.")
    output: str | None = Field(
        None, description="The value that is read as logits; null: the output, of several `logits` or the first."
    )
    layout: Literal["nchw", "nhwc"] | None = Field(
        None, description="Whether channels of its images come first or last; null: by the shape that the file states."
    )
    gradients: Literal["converted", "none"] = Field(
        "converted", description="none: always ask onnxruntime, which gives scores and no gradient."
    )

    @model_validator(mode="after")
    def _whole(self) -> Onnx:
        if (self.mean is None) != (self.std is None):
            raise ValueError("state both mean and std, or neither when the graph normalises images itself")
        return self

    def load(self, root: Path) -> Classifier:
        path, digest = self.present(root)
        for package in ("onnx", "onnxruntime", "onnx2torch"):
            needed(package, self.title, "pip install '.[onnx]'")
        model = read(path, self.title)
        try:
            looks = face(model, self.output)
            size, nhwc = self._size(looks)
        except ModelError as error:
            raise ModelError(f"{self.title}: '{path.name}' {error}") from None
        with blamed(f"{self.title}: '{path.name}' cannot be run", ModelError, "load"), undisturbed():
            return self._judged(model, looks, size, digest, nhwc=nhwc)

    def _size(self, looks: Face) -> tuple[tuple[int, int, int], bool]:
        """Images (C, H, W), and whether the graph wants channels last. Raises ModelError."""
        dims = looks.dims[1:]
        if len(looks.dims) != _IMAGES:
            if self.size is None or None in dims or prod(filter(None, dims)) != prod(self.size):
                got = "none" if self.size is None else str(list(self.size))
                raise ModelError(
                    f"takes rows of {list(dims)} numbers, not images; state a `size` of as many, got {got}"
                )
            return self.size, False
        nhwc = self.layout == "nhwc" if self.layout else dims[0] not in {1, 3} and dims[2] in {1, 3}
        stated = (dims[2], dims[0], dims[1]) if nhwc else (dims[0], dims[1], dims[2])
        size = self.size or stated
        if None in size or any(side not in {None, own} for side, own in zip(stated, size, strict=True)):
            free = ["any" if side is None else side for side in stated]
            raise ModelError(
                f"takes images (C, H, W) of {free}; state such a `size`, got {self.size and list(self.size)}"
            )
        channels, height, width = (int(side or 0) for side in size)
        return (channels, height, width), nhwc

    def _judged(
        self, model: ModelProto, looks: Face, size: tuple[int, int, int], digest: str, *, nhwc: bool
    ) -> Classifier:
        from robustbench_lite.models.archs.onnx_net import AsTaken, Runtime  # they need torch

        rows = tuple(side or 0 for side in looks.dims[1:]) if len(looks.dims) != _IMAGES else None
        shape = (size[1], size[2], size[0]) if nhwc else rows
        taken = partial(AsTaken, shape=shape, dtype=looks.dtype)
        asked = taken(Runtime(with_output(model, looks.made).SerializeToString()), group=looks.dims[0]).eval()
        with torch.no_grad():
            answer = asked(torch.full((1, *size), 0.5))
        card = self._card(looks, size, int(answer.shape[-1]), digest)
        reference = finish(card, asked)
        net, why = self._converted(model, looks, card, reference.module, taken)
        classifier = reference if net is None else finish(card, net)
        how = f"onnx2torch {version('onnx2torch')}" if net else f"onnxruntime {version('onnxruntime')}"
        weights = fingerprint([content(model), self.output, nhwc, net is None])
        notes = (*classifier.notes, *_notes(looks, nhwc=nhwc), *([why] if why else []))
        done = replace(classifier, weights=weights, code=how, notes=notes)
        return done if net is None else replace(done, check=partial(_hold, done, reference.module, looks.dtype))

    def _converted(
        self, model: ModelProto, looks: Face, card: Card, reference: nn.Module, taken: Any
    ) -> tuple[nn.Module | None, str]:
        """The graph in PyTorch, in whatever batches it agrees with onnxruntime; or none, and why."""
        if self.gradients == "none":
            return None, "forward only, as `gradients: none` says: onnxruntime answers, and gives no gradient"
        convert = needed("onnx2torch", self.title, "pip install '.[onnx]'").convert
        x, why = _noise(card.size), ""
        for group in dict.fromkeys((None, looks.dims[0])):  # a batch that is fixed in the file may be a detail of it
            try:
                net = taken(convert(rewritten(model, looks.made)), group=group).eval()
                why = differences(finish(card, net).module(x), reference(x), looks.dtype)
            except Exception as error:  # noqa: BLE001  (whatever the converter and what it makes raise)
                why = told(error)
            if not why:
                return net, f"it is handed batches of {group}, as the file fixes" if group else ""
        return None, (
            "forward only: onnxruntime answers, and gives no gradient; converted to PyTorch the graph is another or "
            f"none: {why}"
        )

    def _card(self, looks: Face, size: tuple[int, int, int], classes: int, digest: str) -> Card:
        return Card(
            name=self.title,
            arch="onnx",
            classes=self.classes or classes,
            size=size,
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source=f"onnx {Path(self.onnx).name}, {looks.made}",
            sha256=digest,
        )


def _notes(looks: Face, *, nhwc: bool) -> list[str]:
    notes = [f"of its outputs {', '.join(looks.outputs)}, {looks.made} is read as the logits"]
    notes = notes if looks.outputs != (looks.made,) else []
    notes += ["it is handed images (N, H, W, C)"] if nhwc else []
    notes += [f"it is handed rows of {list(looks.dims[1:])} numbers"] if len(looks.dims) != _IMAGES else []
    return notes + ([f"it computes in {looks.dtype}"] if looks.dtype != "float32" else [])


def _noise(size: tuple[int, int, int]) -> torch.Tensor:
    """Images (n, C, H, W), the same every time."""
    x = torch.rand((_PROBED, *size), generator=torch.Generator().manual_seed(0))
    return x * torch.linspace(0, 1, _PROBED).view(-1, 1, 1, 1)


def _hold(classifier: Classifier, reference: nn.Module, dtype: str, x: torch.Tensor) -> None:
    """Raises ModelError where the converted graph and onnxruntime differ on images x (n, C, H, W)."""
    device = next(classifier.module.buffers()).device
    with torch.no_grad():
        gap = differences(classifier.module(x.to(device)).cpu().float(), reference(x).float(), dtype)
    if gap:
        raise ModelError(
            f"{classifier.name}: converted to PyTorch it answers otherwise than onnxruntime on images of this run "
            f"({gap}); say `gradients: none`, then onnxruntime is asked, and attacks that need no gradient run"
        )
