"""What sources share that publish how images are prepared: scaled, cropped and normalised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.models.base import Card, Classifier, ModelSource
from robustbench_lite.models.finish import finish
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Published"]


class Published(ModelSource):
    """A classifier whose card says how its images were prepared; attacks see them before that where the suite says."""

    preprocess: Literal["published"] | None = Field(
        None,
        description="published: images of `size` are scaled and cropped as it was published, inside the classifier, "
        "and attacked before that; null: images come in the size of the network.",
    )

    def finished(self, card: Card, net: nn.Module) -> Classifier:
        """The classifier of a network and its card, of which `size` is the network's own. Raises ModelError."""
        if self.preprocess is None:
            return finish(card.model_copy(update={"size": self.size or card.size}), net)
        steps = card.preprocess
        if steps is None:
            raise ModelError(f"{self.title}: preprocess: it was published without one; give images of its size")
        if steps.interpolation not in {"nearest", "bilinear", "bicubic"}:
            raise ModelError(
                f"{self.title}: preprocess: expected nearest, bilinear or bicubic scaling, which has a gradient in "
                f"PyTorch, got {steps.interpolation}; give images of its size"
            )
        height, width = (steps.resize, steps.resize) if isinstance(steps.resize, int) else steps.resize
        size = self.size or (card.size[0], height, width)
        made = finish(card.model_copy(update={"size": size}), net, steps)
        weights = fingerprint([made.weights, steps.model_dump(mode="json")])
        return replace(made, weights=weights, notes=(*made.notes, steps.told()))
