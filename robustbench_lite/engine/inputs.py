"""What a user hands over: images, labels and a classifier, or a sentence that names the fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["checked_images", "checked_labels", "checked_members"]


def checked_members(model: Any) -> tuple[nn.Module, ...]:
    """The classifier, or those that are attacked together. Raises UsageError."""
    members = tuple(model) if isinstance(model, Sequence) and not isinstance(model, str) else (model,)
    if not members:
        raise UsageError("model: expected an nn.Module or several, got an empty list")
    for member in members:
        if isinstance(member, type):
            name = member.__name__
            raise UsageError(f"model: expected an nn.Module, got the class {name}; make one of it: {name}()")
        if not isinstance(member, torch.nn.Module):
            raise UsageError(
                f"model: expected an nn.Module that maps images in [0, 1] to logits, got {_kind(member)}; "
                "call it in the forward of a module of yours"
            )
    return members


def checked_images(x: Any, what: str = "x") -> torch.Tensor:
    """The images (N, C, H, W) float32 in [0, 1], on the CPU, without a graph. Raises UsageError."""
    if not isinstance(x, torch.Tensor):
        raise UsageError(f"{what}: expected a tensor of images (N, C, H, W), got {_kind(x)}{_as_tensor(x)}")
    if x.dtype == torch.uint8:
        raise UsageError(f"{what}: expected float32 images in [0, 1], got uint8; use {what}.float() / 255")
    if x.dtype != torch.float32:
        raise UsageError(f"{what}: expected float32 images, got {_dtype(x)}; use {what}.float()")
    if x.ndim != 4 or 0 in x.shape:
        hint = f"; one image is a batch of one: {what}[None]" if x.ndim == 3 else ""
        raise UsageError(f"{what}: expected images (N, C, H, W), at least one, got {tuple(x.shape)}{hint}")
    images: torch.Tensor = x.detach().cpu().contiguous()
    if broken := int((~images.flatten(1).isfinite().all(1)).sum()):
        raise UsageError(
            f"{what}: {broken} of {len(x)} images have NaN or infinite numbers; leave them out or repair them"
        )
    low, high = float(images.amin()), float(images.amax())
    if low < 0 or high > 1:
        raise UsageError(
            f"{what}: expected images in [0, 1], got {low:.4g} to {high:.4g}; {_rescaling(what, low, high)}"
        )
    return images


def checked_labels(y: Any, n: int, classes: int | None, what: str = "y") -> torch.Tensor:
    """The labels (n,) int64, of `classes` classes where that is known, on the CPU. Raises UsageError."""
    if not isinstance(y, torch.Tensor):
        raise UsageError(f"{what}: expected a tensor of {n} class numbers, got {_kind(y)}{_as_tensor(y)}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        hint = "use argmax(1) where a row is one-hot" if y.ndim == 2 else "use long()"
        raise UsageError(f"{what}: expected class numbers, got {_dtype(y)}; {hint}")
    if y.shape != (n,):
        hint = "; use argmax(1) where a row is one-hot" if y.ndim == 2 else ""
        raise UsageError(f"{what}: expected {n} labels ({n},), one for each image, got {tuple(y.shape)}{hint}")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= (classes or high + 1):
        upper = "" if classes is None else f" to {classes - 1}, as many classes as the model has logits"
        hint = "; use y - 1 where classes are counted from 1" if low >= 1 and high == classes else ""
        raise UsageError(f"{what}: expected labels from 0{upper}, got {low if low < 0 else high}{hint}")
    labels: torch.Tensor = y.detach().cpu().long()
    return labels


def _rescaling(what: str, low: float, high: float) -> str:
    if low >= 0 and high > 2:
        return f"use {what} / 255 where they go to 255"
    if low >= 0 or low > -1e-3:
        return f"use {what}.clamp(0, 1) where that is rounding"
    return "give them as they are before normalisation, and normalise in the forward of the model"


def _as_tensor(value: Any) -> str:
    return "; use torch.as_tensor" if hasattr(value, "__array__") or isinstance(value, list | tuple) else ""


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
