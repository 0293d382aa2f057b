"""The 15 + 4 corruptions and what their severities are, for images as large as those of CIFAR and of ImageNet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustbench_lite.attacks import _corruption_blur as blur
from robustbench_lite.attacks import _corruption_digital as digital
from robustbench_lite.attacks import _corruption_noise as noise
from robustbench_lite.attacks import _corruption_weather as weather
from robustbench_lite.attacks._corruption_tools import Chance, Image, Make, Strength

__all__ = ["CORRUPTIONS", "SMALL", "corrupted"]

SMALL = 32  # pixels: up to this side an image has the severities of CIFAR


@dataclass(frozen=True)
class Corruption:
    """How it is made, and how strongly at severities 1 to 5: of the authors' make_cifar_c.py and make_imagenet_c.py."""

    make: Make
    cifar: tuple[Strength, ...]
    imagenet: tuple[Strength, ...]


def corrupted(x: Image, kind: str, severity: int, chance: Chance) -> Image:
    """The image x (H, W, C) in [0, 1] with a corruption of severity 1 to 5, in steps of 1/255."""
    one = CORRUPTIONS[kind]
    strengths = one.cifar if max(x.shape[:2]) <= SMALL else one.imagenet
    made = one.make(x, strengths[severity - 1], chance)
    return np.asarray(np.floor(255 * np.clip(made, 0, 1) + 0.5) / 255, np.float64)


def _each(*values: float) -> tuple[Strength, ...]:
    return tuple((value,) for value in values)


_INCH = 244 / 224  # the authors' sides are 244 for images of 224

CORRUPTIONS = {
    "gaussian_noise": Corruption(
        noise.gaussian_noise, _each(0.04, 0.06, 0.08, 0.09, 0.1), _each(0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "shot_noise": Corruption(noise.shot_noise, _each(500, 250, 100, 75, 50), _each(60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(
        noise.impulse_noise, _each(0.01, 0.02, 0.03, 0.05, 0.07), _each(0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "defocus_blur": Corruption(
        blur.defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": Corruption(
        blur.glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Corruption(
        blur.motion_blur,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": Corruption(
        blur.zoom_blur,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": Corruption(
        weather.snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": Corruption(
        weather.frost,
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": Corruption(
        weather.fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Corruption(weather.brightness, _each(0.05, 0.1, 0.15, 0.2, 0.3), _each(0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Corruption(digital.contrast, _each(0.75, 0.5, 0.4, 0.3, 0.15), _each(0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic_transform": Corruption(
        digital.elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        (
            (2 * _INCH, 0.7 * _INCH, 0.1 * _INCH),
            (2 * _INCH, 0.08 * _INCH, 0.2 * _INCH),
            (0.05 * _INCH, 0.01 * _INCH, 0.02 * _INCH),
            (0.07 * _INCH, 0.01 * _INCH, 0.02 * _INCH),
            (0.12 * _INCH, 0.01 * _INCH, 0.02 * _INCH),
        ),
    ),
    "pixelate": Corruption(digital.pixelate, _each(0.95, 0.9, 0.85, 0.75, 0.65), _each(0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": Corruption(digital.jpeg_compression, _each(80, 65, 58, 50, 40), _each(25, 18, 15, 10, 7)),
    "speckle_noise": Corruption(
        noise.speckle_noise, _each(0.06, 0.1, 0.12, 0.16, 0.2), _each(0.15, 0.2, 0.35, 0.45, 0.6)
    ),
    "gaussian_blur": Corruption(blur.gaussian_blur, _each(0.4, 0.6, 0.7, 0.8, 1), _each(1, 2, 3, 4, 6)),
    "spatter": Corruption(
        weather.spatter,
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
    ),
    "saturate": Corruption(
        digital.saturate,
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ),
}
