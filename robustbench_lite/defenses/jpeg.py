"""JPEG compression, https://arxiv.org/abs/1608.00853."""

from __future__ import annotations

from typing import ClassVar

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
        protocol="Images are stored in 8 bits by libjpeg. Gradients go straight through: kornia's differentiable codec "
        "rounds by a cube that has no slope at whole numbers, where most coefficients of a digit are, and misleads.",
    )
    quality: PositiveInt = Field(75, le=100, description="libjpeg's, from 1 to 100.")

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002
        from torchvision.io import decode_jpeg, encode_jpeg  # costs a second of import

        if x.shape[1] not in {1, 3}:
            raise ModelError(f"jpeg: expected grey or colour images (1 or 3 channels), got {x.shape[1]}")
        levels = (x.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu()
        seen = torch.stack([decode_jpeg(encode_jpeg(image, quality=self.quality)) for image in levels])
        return (seen.float() / 255).to(x.device)
