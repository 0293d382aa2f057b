"""A classifier with the scaling and cropping that it was published with in front, so that gradients go through them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

__all__ = ["Preprocessed"]


class Preprocessed(nn.Module):
    """net(crop(resize(x))) for images x (N, C, H, W) in [0, 1], as Pillow scales them but for its rounding to 8 bit."""

    def __init__(self, net: nn.Module, resize: int | tuple[int, int], crop: tuple[int, int], mode: str) -> None:
        """`resize`: of the shorter side, or height and width. `crop`: height and width of what is cut out."""
        super().__init__()
        self.net, self.resize, self.crop, self.mode = net, resize, crop, mode

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(_centre(self._scaled(x), self.crop))
        return logits

    def _scaled(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        short = min(height, width)
        wanted = self.resize if isinstance(self.resize, tuple) else _sides(height, width, self.resize, short)
        if wanted == (height, width):
            return x
        if self.mode == "nearest":
            return interpolate(x, wanted, mode="nearest")
        scaled = interpolate(x, wanted, mode=self.mode, align_corners=False, antialias=True)
        return scaled.clamp(0, 1)  # cubic filters overshoot, and a pixel of Pillow's cannot


def _sides(height: int, width: int, side: int, short: int) -> tuple[int, int]:
    return (side * height // short, side * width // short)


def _centre(x: Tensor, crop: tuple[int, int]) -> Tensor:
    """The middle (N, C, h, w), black where the image is smaller."""
    gaps = [have - want for have, want in zip(x.shape[-2:], crop, strict=True)]
    if min(gaps) < 0:
        (top, bottom), (left, right) = ((max(0, -gap) // 2, (max(0, -gap) + 1) // 2) for gap in gaps)
        return _centre(nn.functional.pad(x, (left, right, top, bottom)), crop)
    top, left = (round(gap / 2) for gap in gaps)
    return x[..., top : top + crop[0], left : left + crop[1]]
