"""Corruptions that are noise: Gaussian, shot, impulse, speckle."""

from __future__ import annotations

import numpy as np

from robustbench_lite.attacks._corruption_tools import Chance, Image, Strength

__all__ = ["gaussian_noise", "impulse_noise", "shot_noise", "speckle_noise"]


def gaussian_noise(x: Image, c: Strength, chance: Chance) -> Image:
    return x + chance.normal("noise", x.shape, std=c[0])


def shot_noise(x: Image, c: Strength, chance: Chance) -> Image:
    """Poisson numbers of mean c x, divided by c: the variance is x / c. By the inverse distribution function."""
    from scipy.special import gammaln, xlogy

    light, u = x * c[0], chance.uniform("photons", x.shape)
    counts, steps = np.zeros_like(x), np.arange(int(light.max() + 10 * np.sqrt(light.max())) + 20)
    for mean in np.unique(light):
        below = np.exp(xlogy(steps, mean) - mean - gammaln(steps + 1)).cumsum()
        here = light == mean
        counts[here] = np.searchsorted(below, u[here])
    return counts / c[0]


def impulse_noise(x: Image, c: Strength, chance: Chance) -> Image:
    """Each number with probability c black or white, salt or pepper."""
    hit, salt = chance.uniform("hit", x.shape) < c[0], chance.uniform("salt", x.shape) < 0.5
    return np.where(hit, salt.astype(np.float64), x)


def speckle_noise(x: Image, c: Strength, chance: Chance) -> Image:
    return x + x * chance.normal("noise", x.shape, std=c[0])
