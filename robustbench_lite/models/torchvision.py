"""Classifiers of torchvision with published weights: `torchvision:resnet50@IMAGENET1K_V1`."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.models._published import Published
from robustbench_lite.models.archs.libraries import TRANSFORMING, build_torchvision
from robustbench_lite.models.base import Card, Classifier, Preprocess, models

__all__ = ["Torchvision"]

_PUBLISHED = {
    builder: {"classifier": name, "dataset": "ILSVRC2012-val"}
    for builder, name in {
        "resnet152": "ResNet-152",
        "resnet101": "ResNet-101",
        "resnet50": "ResNet-50",
        "vgg16": "VGG-16",
        "vgg19": "VGG-19",
        "googlenet": "GoogLeNet",
    }.items()
}


@models.register("torchvision")
class Torchvision(Published):
    """A torchvision classifier; normalisation, size and labels come from its weights enum."""

    torchvision: str = Field(description="`builder@WEIGHTS`, such as resnet50@IMAGENET1K_V1.")

    @model_validator(mode="after")
    def _stated(self) -> Torchvision:
        if self.torchvision.count("@") != 1:
            raise ValueError(f"expected builder@WEIGHTS such as resnet50@IMAGENET1K_V1, got '{self.torchvision}'")
        return self

    @property
    def title(self) -> str:
        return self.name or self.torchvision.split("@")[0]

    def fetch(self, root: Path) -> None:  # noqa: ARG002
        """Download the weights; needs a connection."""
        self._state()

    def load(self, root: Path) -> Classifier:  # noqa: ARG002
        weights = self._weights()
        state = self._state()
        net = build_torchvision(self.torchvision.split("@")[0], 3, len(weights.meta["categories"]))
        net.load_state_dict({key: value for key, value in state.items() if key in net.state_dict()})
        return replace(self.finished(self._card(weights), net), code=f"torchvision {version('torchvision')}")

    def _state(self) -> Any:
        try:
            return self._weights().get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
            raise ModelError(
                f"{self.title}: the weights {self.torchvision} are not in torch's cache and cannot be downloaded "
                f"({error}); run `fetch` on this suite where there is a connection, and carry the cache over"
            ) from None

    def _weights(self) -> Any:
        from torchvision import models as known  # seconds of import, paid only by those who use it

        builder, name = self.torchvision.split("@")
        try:
            return known.get_model_weights(builder)[name]
        except (ValueError, KeyError):
            raise ModelError(f"{self.title}: torchvision has no weights {name} for '{builder}'") from None

    def _card(self, weights: Any) -> Card:
        preset = weights.transforms()
        side, builder = preset.crop_size[0], self.torchvision.split("@")[0]
        mean, std = tuple(preset.mean), tuple(preset.std)
        if builder in TRANSFORMING:
            mean = std = (0.5, 0.5, 0.5)
        return Card(
            name=self.title,
            arch=builder,
            published=_PUBLISHED.get(builder, {}),
            classes=len(weights.meta["categories"]),
            size=(3, side, side),
            mean=self.mean or mean,
            std=self.std or std,
            interpolation=preset.interpolation.value,
            preprocess=Preprocess(
                resize=preset.resize_size[0], crop=(side, side), interpolation=preset.interpolation.value
            ),
            labels=tuple(weights.meta["categories"]),
            source=weights.url,
        )
