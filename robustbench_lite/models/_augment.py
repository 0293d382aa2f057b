"""Training images as a recipe varies them: flips, translations, turns, light and sharpness, drawn per image."""

from __future__ import annotations

from robustbench_lite.lazy import kornia, torch
from robustbench_lite.models.recipe import Recipe

__all__ = ["augment"]


def augment(x: torch.Tensor, todo: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Random flips, translations (zero fill), resampling, light and sharpness, per image; floats in [0, 1]."""
    n, side = len(x), x.shape[-1]
    if todo.flip:
        flip = torch.rand(n, generator=generator).to(x.device) < 0.5
        x = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
    resampled = todo.rotation or todo.scale or todo.squeeze
    if todo.shift and not resampled:
        s = todo.shift
        padded = torch.nn.functional.pad(x, (s, s, s, s))
        at = torch.randint(0, 2 * s + 1, (2, n), generator=generator).to(x.device)
        span = torch.arange(side, device=x.device)
        rows, columns = at[0][:, None] + span, at[1][:, None] + span
        index = torch.arange(n, device=x.device)[:, None, None]
        x = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    x = x.float() / 255

    def draw(bounds: tuple[float, float]) -> torch.Tensor:
        return torch.empty(n).uniform_(*bounds, generator=generator).to(x.device)

    if resampled:
        angle, scale = draw((-todo.rotation, todo.rotation)), draw(todo.scale or (1, 1))
        moved = torch.stack([draw((-todo.shift, todo.shift)) for _ in range(2)], 1)
        x = _resample(x, angle, torch.stack([scale * draw(todo.squeeze or (1, 1)), scale], 1), moved)
    if todo.brightness:
        x = (x * draw(todo.brightness).view(-1, 1, 1, 1)).clamp(0, 1)
    if todo.sharpness:
        x = kornia.enhance.sharpness(x, draw(todo.sharpness))
    return x


def _resample(x: torch.Tensor, angle: torch.Tensor, scale: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """Images (N, C, H, W) turned by angle (N,) degrees, scaled by (N, 2) about the centre, moved by (N, 2) pixels."""
    centre = torch.tensor([[(x.shape[3] - 1) / 2, (x.shape[2] - 1) / 2]], device=x.device).expand(len(x), 2)
    matrix = kornia.geometry.transform.get_rotation_matrix2d(centre, angle, scale)
    matrix[:, :, 2] += moved
    size = (x.shape[2], x.shape[3])
    return kornia.geometry.transform.warp_affine(x, matrix, size, padding_mode="border", align_corners=True)
