"""Classifiers of timm with pretrained weights: `timm:resnet50.a1_in1k`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.models._published import Published
from robustbench_lite.models._timm import described
from robustbench_lite.models.base import Classifier, models

__all__ = ["Timm"]


@models.register("timm")
class Timm(Published):
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
        card = described(self, self.timm, dict(net.pretrained_cfg))
        return replace(self.finished(card, net), code=f"timm {timm.__version__}")
