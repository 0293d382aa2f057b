"""Architectures by name: ours, and those of torchvision and timm as `torchvision:resnet18`, `timm:resnet18`.

Listing ours costs nothing: the modules (and torch) are imported when one is built.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from robustbench_lite.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "LIBRARIES", "build", "code", "known"]

LIBRARIES = ("torchvision", "timm")

ARCHITECTURES = {
    "lenet": "lenet:LeNet",  # Caffe's, for 28x28 digits
    "fc500_150_10": "lenet:FullyConnected",
    "lenet_cifar": "lenet:LeNetCIFAR",
    "nin": "nin:NIN",
    "vgg": "vgg:VGG",
    "googlenet": "googlenet:GoogLeNet",
    "small_cnn": "small:SmallCNN",  # for 28x28 images
    "gtsrb_cnn": "signs:GTSRBCNN",
    "lisa_cnn": "signs:LISACNN",
    **{f"resnet{depth}": f"resnet:resnet{depth}" for depth in (8, 14, 20, 32, 44, 56, 110)},
}


def known(name: str) -> str:
    """The same name. Raises ValueError for one of no architecture; those of libraries are looked up when built."""
    library, colon, _ = name.partition(":")
    if name not in ARCHITECTURES and not (colon and library in LIBRARIES):
        raise ValueError(_unknown(name))
    return name


def _unknown(name: str) -> str:
    """Which is meant: one of a library by the very name, else the nearest of ours."""
    from robustbench_lite.models.archs import libraries  # with torchvision and timm, for whoever has made a mistake

    those = [f"'{library}:{name}'" for library in LIBRARIES if libraries.has(library, name)]
    others = ", ".join(f"{library}:NAME" for library in LIBRARIES)
    meant = f"; did you mean {' or '.join(those)}?" if those else did_you_mean(name, ARCHITECTURES)
    return f"unknown architecture '{name}'{meant} ({others} name others)"


def build(name: str, channels: int, classes: int) -> nn.Module:
    """A fresh classifier of architecture `name`, without weights. Raises ModelError with a did-you-mean."""
    library, colon, inner = name.partition(":")
    if colon and library in LIBRARIES:
        from robustbench_lite.models.archs import libraries  # with torchvision or timm

        return libraries.BUILDERS[library](inner, channels, classes)
    if name not in ARCHITECTURES:
        raise ModelError(_unknown(name))
    module, factory = ARCHITECTURES[name].split(":")
    make = getattr(import_module(f"{__name__}.{module}"), factory)
    return cast("nn.Module", make(channels=channels, classes=classes))


def code(name: str) -> str:
    """A hash of the source of the architecture `name`, and of what stands in front of it: what its weights mean.

    Of a library's architecture, its version.
    """
    library, colon, _ = name.partition(":")
    if colon and library in LIBRARIES:
        return f"{library} {version(library)}"
    folder = Path(__file__).parent
    files = [folder / f"{ARCHITECTURES[name].split(':')[0]}.py", folder / "normalized.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
