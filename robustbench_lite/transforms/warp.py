"""Rotation, translation and scale as one differentiable resample (kornia).

Conventions, where libraries differ by half a pixel: the centre is ((W - 1) / 2, (H - 1) / 2), angles are degrees
counter-clockwise as seen on the screen, translations are pixels to the right and down and come after the rotation,
corners of the image are the centres of its corner pixels (`align_corners=True`). The arithmetic is in float64: in
float32 the identity would be off by 3e-5 of a grey level on an image of 224 pixels.
"""

from __future__ import annotations

from typing import Literal

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.threat.box import clip

__all__ = ["Fill", "Interpolation", "warp"]

Fill = Literal["zeros", "border", "reflection"]
Interpolation = Literal["bilinear", "nearest", "bicubic"]


def warp(
    x: torch.Tensor,
    angle: torch.Tensor,
    dx: torch.Tensor,
    dy: torch.Tensor,
    scale: torch.Tensor | None = None,
    *,
    fill: Fill = "zeros",
    interpolation: Interpolation = "bilinear",
) -> torch.Tensor:
    """Images x (n, C, H, W) in [0, 1], each rotated by its angle, enlarged by its scale, then moved by (dx, dy) (n,).

    Differentiable in everything; 0 degrees, no translation and scale 1 give the image back.
    """
    n, _, height, width = x.shape
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64, device=x.device).expand(n, 2)
    zoom = (torch.ones_like(angle) if scale is None else scale).double()[:, None].expand(n, 2)
    turn = kornia.geometry.get_rotation_matrix2d(centre, angle.double(), zoom)
    move = torch.stack([dx, dy], 1).double()[:, :, None]
    matrix = torch.cat([turn[:, :, :2], turn[:, :, 2:] + move], 2)
    moved = kornia.geometry.warp_affine(
        x.double(), matrix, (height, width), mode=interpolation, padding_mode=fill, align_corners=True
    )
    return clip(moved).to(x.dtype)  # bicubic overshoots
