"""JPEG compression, https://arxiv.org/abs/1608.00853."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models.defense import Defense, defenses

__all__ = ["JPEG"]


@defenses.register("jpeg")
class JPEG(Defense):
    """Compress and unpack: what the codec rounds away, a small perturbation too, does not reach the classifier."""

    card: ClassVar[Card] = Card(
        title="JPEG compression",
        paper="A study of the effect of JPG compression on adversarial images, Dziugaite, Ghahramani, Roy 2016",
        arxiv="1608.00853",
        protocol="Images are stored in 8 bits, by libjpeg as Pillow sets it. Gradients go straight through: "
        "kornia's differentiable codec rounds by a cube that has no slope at whole numbers, where most "
        "coefficients of a digit are, and misleads.",
    )
    quality: PositiveInt = Field(75, le=100, description="libjpeg's, from 1 to 100.")

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002
        if x.shape[1] not in {1, 3}:
            raise ModelError(f"jpeg: expected grey or colour images (1 or 3 channels), got {x.shape[1]}")
        levels = (x.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        seen = np.stack([self._reread(image) for image in levels])
        return torch.from_numpy(seen).to(x.device).permute(0, 3, 1, 2).float() / 255

    def _reread(self, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """What is left of an image (H, W, C) in a file."""
        file = io.BytesIO()
        Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(file, "jpeg", quality=self.quality)
        with Image.open(file) as image:
            return np.asarray(image).reshape(levels.shape)
