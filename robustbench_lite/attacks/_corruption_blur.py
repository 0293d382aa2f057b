"""Corruptions that blur: defocus, glass, motion, zoom, Gaussian."""

from __future__ import annotations

import numpy as np

from robustbench_lite.attacks._corruption_tools import Chance, Image, Strength, gaussian, moved, zoomed

__all__ = ["defocus_blur", "gaussian_blur", "glass_blur", "motion_blur", "zoom_blur"]


def gaussian_blur(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    return gaussian(x, c[0])


def defocus_blur(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    """A disk of radius c[0], its rim smoothed with sigma c[1]; borders are mirrored."""
    from scipy.ndimage import correlate

    return np.asarray(correlate(x, _disk(*c)[..., None], mode="mirror"), np.float64)


def _disk(radius: float, sigma: float) -> Image:
    """Weights that sum to 1; the Gaussian has 3 x 3 numbers, 5 x 5 where the radius is above 8."""
    from scipy.ndimage import convolve1d

    reach = 1 if radius <= 8 else 2
    side = np.arange(-int(radius) - reach, int(radius) + reach + 1)
    disk = (side[:, None] ** 2 + side**2 <= radius**2).astype(np.float64)
    rim = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        disk = convolve1d(disk, rim / rim.sum(), axis, mode="constant")
    return np.asarray(disk / disk.sum(), np.float64)


def glass_blur(x: Image, c: Strength, chance: Chance) -> Image:
    """Pixels take the place of near ones, between two Gaussian blurs: c is sigma, how far, how often."""
    sigma, reach, times = c[0], int(c[1]), int(c[2])
    height, width, channels = x.shape
    x = np.floor(255 * gaussian(x, sigma)) / 255
    shape = (times, max(0, height - 2 * reach), max(0, width - 2 * reach))
    dy, dx = (np.floor(chance.uniform(way, shape, -reach, reach)).astype(int) for way in ("down", "right"))
    source = list(range(height * width))
    for offsets in dy * width + dx:
        places = _places(height, width, reach)
        for place, offset in zip(places, offsets.ravel().tolist(), strict=True):
            source[place] = source[place + offset]
    return gaussian(x.reshape(-1, channels)[source].reshape(x.shape), sigma)


def _places(height: int, width: int, reach: int) -> list[int]:
    """From the last row and column to the first, where a neighbour `reach` away is still inside; flat indices."""
    rows, columns = (np.arange(side - reach, reach, -1) for side in (height, width))
    return np.asarray(rows[:, None] * width + columns).ravel().tolist()


def motion_blur(x: Image, c: Strength, chance: Chance) -> Image:
    return moved(x, c[0], c[1], chance.angle(-45, 45))


def zoom_blur(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    """The mean of the image and of itself zoomed by 1, 1 + c[1], ... below c[0]."""
    factors = np.arange(1, c[0], c[1])
    return np.asarray((x + sum(zoomed(x, factor) for factor in factors)) / (len(factors) + 1), np.float64)
