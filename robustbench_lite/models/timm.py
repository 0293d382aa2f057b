"""Classifiers of timm with pretrained weights: `timm:resnet50.a1_in1k`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.models.base import Card, Classifier, ModelSource, models
from robustbench_lite.models.finish import finish

__all__ = ["Timm"]


@models.register("timm")
class Timm(ModelSource):
    """A timm classifier; normalisation and size come from its pretrained configuration."""

    timm: str = Field(description="Name of the model, such as resnet50.a1_in1k.")

    @property
    def title(self) -> str:
        return self.name or self.timm

    def fetch(self, root: Path) -> None:
        """Download the weights; needs a connection."""
        self.load(root)

    def load(self, root: Path) -> Classifier:  # noqa: ARG002
        import timm  # seconds of import, paid only by those who use it

        if not timm.is_model(self.timm):
            raise ModelError(f"timm has no model '{self.timm}'; timm.list_models() shows them")
        try:
            net: Any = timm.create_model(self.timm, pretrained=True)
        except Exception as error:  # noqa: BLE001  (hub, network and file errors have no common base)
            raise ModelError(
                f"{self.title}: the weights are not in the hub's cache and cannot be downloaded "
                f"({type(error).__name__}); run `fetch` on this suite where there is a connection"
            ) from None
        return replace(finish(self._card(dict(net.pretrained_cfg)), net), code=f"timm {timm.__version__}")

    def _card(self, config: dict[str, Any]) -> Card:
        return Card(
            name=self.title,
            arch=self.timm,
            classes=config["num_classes"],
            size=self.size or tuple(config["input_size"]),
            mean=self.mean or tuple(config["mean"]),
            std=self.std or tuple(config["std"]),
            interpolation=config["interpolation"],
            licence=str(config.get("license") or ""),
            source=str(config.get("hf_hub_id") or config.get("url") or "timm"),
        )
