"""Architectures by name. Listing them costs nothing: the modules (and torch) are imported when one is built."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from robustbench_lite.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "build", "code"]

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


def build(name: str, channels: int, classes: int) -> nn.Module:
    """A fresh classifier of architecture `name`. Raises ModelError with a did-you-mean."""
    if name not in ARCHITECTURES:
        raise ModelError(f"unknown architecture '{name}'{did_you_mean(name, ARCHITECTURES)}")
    module, factory = ARCHITECTURES[name].split(":")
    make = getattr(import_module(f"{__name__}.{module}"), factory)
    return cast("nn.Module", make(channels=channels, classes=classes))


def code(name: str) -> str:
    """A hash of the source of the architecture `name`, and of what stands in front of it: what its weights mean."""
    folder = Path(__file__).parent
    files = [folder / f"{ARCHITECTURES[name].split(':')[0]}.py", folder / "normalized.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
