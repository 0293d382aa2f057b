"""What an attack says of itself: where it comes from, and what it promises where the answer is known."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Card", "Promise"]


@dataclass(frozen=True)
class Card:
    """What a reviewer asks about an attack. `factor` bounds how far above the minimum a perturbation may lie."""

    title: str
    paper: str
    arxiv: str
    protocol: str
    deviations: tuple[str, ...] = ()
    factor: float = 1.0  # on a linear classifier: size found / exact size, at most this (minimal attacks)


@dataclass(frozen=True)
class Promise:
    """What an attack answers for where the answer is known: on classifiers that are linear in the image.

    With a budget it breaks every image whose exact radius, the box included, is at most budget / factor; without one
    it finds a perturbation of at most `factor` times the exact radius. inf: a baseline, which promises nothing.
    `rivals`: only where the nearest class is among the likeliest so many others; null: always. `straight`: the radius
    is that of one steepest step, clipped, which is not the best thing to do where the box binds (but in linf it is).
    `share`: of all images, those for which it holds. `reach`: attacks without a norm break boundaries up to this far
    away in linf.
    `pair`: only between two classes; of several boundaries it finds one, not always the nearest.
    """

    factor: float = 1.05
    rivals: int | None = None
    straight: bool = False
    share: float = 1.0
    pair: bool = False
    reach: float = 1 / 255  # less than one grey level: no attack that does anything is too weak for that
