"""What corruptions are made with: random numbers of one sample, blurs, zooms, plasma. Images are (H, W, C) float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robustbench_lite.threat.draws import Draw

__all__ = ["Chance", "Image", "Strength", "gaussian", "luma", "moved", "plasma", "zoomed"]

Image = npt.NDArray[np.float64]
Strength = tuple[float, ...]
Make = Callable[[Image, Strength, "Chance"], Image]


@dataclass(frozen=True)
class Chance:
    """The random numbers of one sample, by purpose; they depend on its key (1,) alone."""

    draw: Draw

    def uniform(self, purpose: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Image:
        unit = self.draw.uniform(purpose, tuple(shape))[0].double().numpy()
        return np.asarray(low + (high - low) * unit, np.float64)

    def normal(self, purpose: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> Image:
        return np.asarray(mean + std * self.draw.normal(purpose, tuple(shape))[0].double().numpy(), np.float64)

    def angle(self, low: float, high: float) -> float:
        """Degrees."""
        return float(self.uniform("angle", (1,), low, high)[0])


def luma(x: Image) -> Image:
    """Brightness (H, W, 1) as ITU-R 601 weighs colours."""
    weights = [[0.299], [0.587], [0.114]] if x.shape[2] == 3 else [[1.0]]
    return np.asarray(x @ np.array(weights), np.float64)


def gaussian(x: Image, sigma: float) -> Image:
    """Blurred along height and width, out to four standard deviations; the border pixel goes on outside."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(x, (sigma, sigma, 0)[: x.ndim], mode="nearest", truncate=4), np.float64)


def moved(x: Image, radius: float, sigma: float, angle: float) -> Image:
    """Blurred in one direction, as ImageMagick does: half a Gaussian along whole pixels, `angle` in degrees."""
    height, width = x.shape[:2]
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turn = np.deg2rad(angle)
    down, right = (np.ceil(steps * part - 0.5).astype(int) for part in (np.sin(turn), np.cos(turn)))
    y, across = np.arange(height), np.arange(width)
    parts = (
        weight * x[(y + dy).clip(0, height - 1)][:, (across + dx).clip(0, width - 1)]
        for weight, dy, dx in zip(weights / weights.sum(), down, right, strict=True)
    )
    return np.asarray(sum(parts), np.float64)


def zoomed(x: Image, factor: float) -> Image:
    """The middle of the image, `factor` times as large, linearly interpolated."""
    from scipy.ndimage import zoom

    height, width = x.shape[:2]
    ch, cw = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - ch) // 2, (width - cw) // 2
    large = zoom(x[top : top + ch, left : left + cw], (factor, factor, 1), order=1)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.asarray(large[top : top + height, left : left + width], np.float64)


def plasma(shape: Sequence[int], decay: float, chance: Chance) -> Image:
    """A cloud (H, W) in [0, 1] by the diamond-square algorithm; each octave is decay^2 times as weak as the last."""
    size = 1 << (max(*shape, 2) - 1).bit_length()
    field, step, strength = np.zeros((size, size)), size, 1.0
    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        noise = strength * chance.uniform(f"plasma {step}", (3, *corners.shape), -1, 1)
        below, right = np.roll(corners, -1, 0), np.roll(corners, -1, 1)
        middle = (corners + below + right + np.roll(below, -1, 1)) / 4 + noise[0]
        field[half::step, half::step] = middle
        field[::step, half::step] = (corners + right + middle + np.roll(middle, 1, 0)) / 4 + noise[1]
        field[half::step, ::step] = (corners + below + middle + np.roll(middle, 1, 1)) / 4 + noise[2]
        step, strength = half, strength / decay**2
    field -= field.min()
    return np.asarray(field[: shape[0], : shape[1]] / field.max(), np.float64)
