"""Classifiers and data that are in memory become entries of a suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from robustbench_lite.datasets.base import DataSource
from robustbench_lite.datasets.memory import MemoryData
from robustbench_lite.engine.inputs import checked_members
from robustbench_lite.errors import ModelError, UsageError, did_you_mean, problems_of
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.frozen import frozen
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import ModelSource
from robustbench_lite.models.memory import Memory
from robustbench_lite.suite.builder import DataEntry, Objects, Suite

if TYPE_CHECKING:
    from torch import nn

__all__ = ["in_memory", "shaped"]

_OPTIONS = ("module", "expectation", "backward", "mean", "std")


def in_memory(models: Mapping[str, Any] | None, data: Mapping[str, Any] | None) -> Objects:
    """Modules by name, with options or without, and pairs (images, labels) by name. Raises UsageError."""
    return Objects(
        tuple(_model(name, model) for name, model in (models or {}).items()),
        tuple(DataEntry(name, _data(name, pair)) for name, pair in (data or {}).items()),
    )


def shaped(suite: Suite) -> Suite:
    """The suite whose modules in memory state what they take and give, as seen on an image of its data."""
    if not any(isinstance(model, Memory) and model.size is None for model in suite.models):
        return suite
    first = min((entry.source for entry in suite.data), key=lambda source: not isinstance(source, MemoryData))
    one = first.model_copy(update={"samples": 1, "stratified": False, "keep": "all"}).load(suite.root)
    channels, *sides = one.images.shape[1:]
    size = (one.scene and one.scene.screen) or (channels, *(side + 2 * first.pad for side in sides))
    return replace(suite, models=tuple(_stated(model, size) for model in suite.models))


def _model(name: str, model: Any) -> ModelSource:
    """A module, or a mapping of one with options of a suite's entry. Raises UsageError."""
    if isinstance(model, Memory):
        return model
    options = dict(model) if isinstance(model, Mapping) else {"module": model}
    if unknown := [key for key in options if key not in _OPTIONS]:
        raise UsageError(f"models: '{name}': unknown key '{unknown[0]}'{did_you_mean(str(unknown[0]), _OPTIONS)}")
    if isinstance(backward := options.get("backward"), str) and backward != "identity":
        raise UsageError(f"models: '{name}': backward: expected identity or the stand-in itself, got '{backward}'")
    (module,) = checked_members((options.pop("module", None),))
    try:
        return Memory.of(module, name=name, **options)
    except ValidationError as error:
        text = "; ".join(text for _, text in problems_of(error, Memory))
        raise UsageError(f"models: '{name}': {text}") from None


def _data(name: str, pair: Any) -> DataSource:
    if isinstance(pair, tuple | list) and len(pair) == 2:
        return MemoryData.of(name, *pair)
    raise UsageError(f"data: '{name}': expected images and labels, (x, y), got {type(pair).__name__}")


def _stated(model: ModelSource, size: tuple[int, ...]) -> ModelSource:
    """The same with its size and its number of classes."""
    if not isinstance(model, Memory) or model.size is not None:
        return model
    return model.model_copy(update={"size": size, "classes": _classes(model.title, model.module, size)})


def _classes(name: str, module: nn.Module, size: tuple[int, ...]) -> int:
    """How many logits a grey image gives; 1: one logit, which is read as two classes. Raises ModelError."""
    weight = next(module.parameters(), torch.zeros(()))
    grey = torch.full((1, *size), 0.5, device=weight.device)
    failing = f"{name}: fails on an image of size {list(size)}"
    with blamed(failing, ModelError, "load"), undisturbed(), frozen(module), torch.no_grad():
        out = module(grey)
    if isinstance(out, torch.Tensor) and out.numel() == 1:
        return 1
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        got = getattr(out, "shape", type(out).__name__)
        raise ModelError(f"{name}: expected logits (1, K) for an image of size {list(size)}, got {got}")
    return int(out.shape[1])
