"""Road sides to stand a sign on."""

from __future__ import annotations

from robustbench_lite.lazy import torch

__all__ = ["BACKGROUND_NUMBERS", "background"]

BACKGROUND_NUMBERS = 80
_KNOTS, _GRID = 8, 8


def background(numbers: torch.Tensor, size: int) -> torch.Tensor:
    """Road sides (n, 3, size, size) from uniform numbers (n, 80): sky, trees, ground, a post, some texture."""
    n = len(numbers)
    y = torch.linspace(0, 1, size, dtype=numbers.dtype, device=numbers.device).view(1, 1, size, 1)

    def part(at: int) -> torch.Tensor:
        return numbers[:, at].view(n, 1, 1, 1)

    def colour(*rgb: float) -> torch.Tensor:
        return numbers.new_tensor(rgb).view(1, 3, 1, 1)

    def below(height: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((y - height) * size)  # 0 above, 1 below

    texture = torch.nn.functional.interpolate(
        numbers[:, -_GRID * _GRID :].view(n, 1, _GRID, _GRID), size, mode="bilinear", align_corners=True
    )
    knots = numbers[:, 8 : 8 + _KNOTS].view(n, 1, _KNOTS)
    profile = torch.nn.functional.interpolate(knots, size, mode="linear", align_corners=True).view(n, 1, 1, size)
    horizon = 0.5 + 0.35 * part(0)
    sky = (colour(0.5, 0.66, 0.9) + y * colour(0.3, 0.2, 0.04)) * (0.65 + 0.35 * part(1))
    trees = colour(0.16, 0.28, 0.12) * (0.5 + texture) * (0.6 + 0.8 * part(2))
    ground = (colour(0.42, 0.42, 0.43) * part(3) + colour(0.36, 0.4, 0.2) * (1 - part(3))) * (0.7 + 0.4 * texture)
    scene = sky + (trees - sky) * below(horizon - 0.1 - 0.5 * part(4) * profile)
    scene = scene + (ground - scene) * below(horizon)
    post = ((torch.linspace(-1, 1, size, dtype=y.dtype, device=y.device).abs() < 0.08) & (y > 0.5)).to(y.dtype)
    return (scene + (colour(0.5, 0.5, 0.5) - scene) * post).clamp(0, 1)
