"""Corruptions of weather: snow, frost, fog, spatter; and brightness."""

from __future__ import annotations

import numpy as np

from robustbench_lite.attacks._corruption_tools import Chance, Image, Strength, gaussian, luma, moved, plasma, zoomed
from robustbench_lite.lazy import kornia, torch

__all__ = ["brightness", "fog", "frost", "snow", "spatter"]

_ICE = (0.78, 0.9, 1.0)
_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)


def brightness(x: Image, c: Strength, chance: Chance) -> Image:  # noqa: ARG001
    """Value of HSV larger by c: every colour is scaled as its largest channel is."""
    value = x.max(2, keepdims=True)
    lighter = np.clip(value + c[0], 0, 1)
    return np.asarray(np.where(value > 0, x * lighter / np.where(value > 0, value, 1), lighter))


def fog(x: Image, c: Strength, chance: Chance) -> Image:
    most = x.max()
    return np.asarray((x + c[0] * plasma(x.shape[:2], c[1], chance)[..., None]) * most / (most + c[0]))


def frost(x: Image, c: Strength, chance: Chance) -> Image:
    """Ice before a darker image. The ice is made, not photographed: ridges of two clouds on a third."""
    shape = x.shape[:2]
    clouds = [plasma(shape, decay, Chance(chance.draw.fork(f"ice {decay}"))) for decay in (1.2, 1.35, 1.7)]
    ridges = [(1 - np.abs(2 * cloud - 1)) ** 4 for cloud in clouds[:2]]
    ice = np.clip(0.15 + 0.45 * clouds[2] + 0.5 * np.maximum(*ridges), 0, 1)
    return c[0] * x + c[1] * _painted(ice, _ICE, x.shape[2])


def snow(x: Image, c: Strength, chance: Chance) -> Image:
    """c: mean, spread, zoom and threshold of the flakes; radius and sigma of their fall; what is left of the image."""
    mean, std, factor, threshold, radius, sigma, kept = c
    flakes = zoomed(chance.normal("flakes", (*x.shape[:2], 1), mean, std), factor)
    flakes = np.where(flakes < threshold, 0, flakes)
    flakes = np.floor(255 * np.clip(flakes, 0, 1)) / 255
    flakes = moved(flakes, radius, sigma, chance.angle(-135, -45))
    whiter = kept * x + (1 - kept) * np.maximum(x, luma(x) * 1.5 + 0.5)
    return whiter + flakes + np.rot90(flakes, 2)


def spatter(x: Image, c: Strength, chance: Chance) -> Image:
    """Drops of water, or mud where c[5] is 1; c: mean, spread and sigma of the liquid, its threshold, how much."""
    mean, std, sigma, threshold, amount, mud = c
    liquid = gaussian(chance.normal("liquid", x.shape[:2], mean, std), sigma)
    liquid = np.where(liquid < threshold, 0, liquid)
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float64), amount)
        cover = np.where(cover < 0.8, 0, cover)
        return x * (1 - cover[..., None]) + _painted(cover, _MUD, x.shape[2])
    light = liquid * _shading(np.floor(255 * np.clip(liquid, 0, 1)).astype(np.uint8))
    return x + _painted(amount * light / max(light.max(), 1e-12), _WATER, x.shape[2])


def _shading(liquid: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image:
    """How light is refracted (H, W): the distance from the rims of drops, equalised and embossed from one corner."""
    from PIL import Image as Pictures
    from PIL import ImageOps
    from scipy.ndimage import correlate, distance_transform_edt, uniform_filter

    rims = _rims(liquid / 255)
    away = np.minimum(distance_transform_edt(~rims), 20) if rims.any() else np.full(liquid.shape, 20.0)
    away = uniform_filter(away, 3, mode="mirror").astype(np.uint8)
    equal = np.asarray(ImageOps.equalize(Pictures.fromarray(away)), np.float64)
    emboss = np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])
    return np.asarray(uniform_filter(correlate(equal, emboss, mode="mirror").clip(0, 255), 3, mode="mirror"))


def _rims(liquid: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Canny's edges (H, W) with the thresholds 50 and 150 of an unnormalised Sobel filter on 255 levels."""
    image = torch.from_numpy(np.ascontiguousarray(liquid))[None, None]
    low, high = 50 / 255 / 8, 150 / 255 / 8
    edges = kornia.filters.canny(image, low, high, kernel_size=(1, 1), sigma=(1.0, 1.0))[1]
    return np.asarray(edges[0, 0].numpy() > 0)


def _painted(amount: Image, colour: tuple[float, float, float], channels: int) -> Image:
    """So much (H, W) of a colour, as an image (H, W, channels); of its brightness where that has no colour."""
    paint = np.array(colour).reshape(1, 1, 3)
    return amount[..., None] * (paint if channels == 3 else luma(paint))
