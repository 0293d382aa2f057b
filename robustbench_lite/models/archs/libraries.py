"""Architectures of torchvision and timm, without weights, for weights of the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError, suggestion

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BUILDERS", "TRANSFORMING", "build_torchvision", "has"]

# With published weights torchvision normalises these twice: ImageNet's mean and std outside, and inside the network
# (`transform_input`) back to mean 1/2, std 1/2. The inner step is switched off, and its result stated on the card.
TRANSFORMING = {"googlenet", "inception_v3"}


def build_torchvision(builder: str, channels: int, classes: int) -> nn.Module:
    """The bare network. GoogLeNet and Inception: no second normalisation inside, no auxiliary classifiers.

    Raises ModelError.
    """
    from torchvision import models as known

    names = known.list_models(module=known)
    if builder not in names:
        raise ModelError(f"torchvision has no classifier '{builder}'{suggestion(builder, names)}")
    if channels != 3:
        raise ModelError(f"torchvision:{builder} takes images of 3 channels, got {channels}; `channels: 3` on the data")
    extra: dict[str, Any] = {}
    if builder in TRANSFORMING:
        extra = {"transform_input": False, "aux_logits": False, "init_weights": False}
    net: nn.Module = known.get_model(builder, weights=None, num_classes=classes, **extra)
    return net


def build_timm(name: str, channels: int, classes: int) -> nn.Module:
    """The bare network. Raises ModelError."""
    import timm

    if not timm.is_model(name):
        near = suggestion(name, timm.list_models())
        raise ModelError(f"timm has no model '{name}'{near or '; timm.list_models() shows them'}")
    net: nn.Module = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes)
    return net


def has(library: str, name: str) -> bool:
    """Whether a library has a classifier of this name."""
    if library == "torchvision":
        from torchvision import models as known

        return name in known.list_models(module=known)
    import timm

    return bool(timm.is_model(name))


BUILDERS = {"torchvision": build_torchvision, "timm": build_timm}
