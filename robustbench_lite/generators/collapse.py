"""Whether a generator has collapsed: said of its scores, against those of real images, by margins that are stated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

__all__ = ["ALIKE", "FINE", "SHARE", "UNEVEN", "Verdict", "verdict"]

UNEVEN = 0.25  # total variation of the classes from uniform, above that of real images
ALIKE = 0.15  # MS-SSIM of pairs, above that of real images
SHARE = 0.5  # of what a classifier's score of real images is above 1
FINE = 0.1  # share of points near a mode; of points anywhere around it is below 1 %


class Verdict(NamedTuple):
    """What became of a generator, and why in numbers; empty: it is as it should be."""

    outcome: Literal["trained", "collapsed", "not learned"]
    reason: str = ""


def verdict(scores: Mapping[str, float]) -> Verdict:
    """Collapsed: classes or modes are missing, or images are alike. Not learned: they show no classes or modes."""
    if missing := "; ".join(_missing(scores)):
        return Verdict("collapsed", missing)
    if poor := "; ".join(_poor(scores)):
        return Verdict("not learned", poor)
    return Verdict("trained")


def _missing(scores: Mapping[str, float]) -> Iterator[str]:
    uneven, alike = (_above(scores, key) for key in ("unevenness", "ms_ssim"))
    if not uneven <= UNEVEN:
        yield f"classes: {_beside(scores, 'unevenness')} from uniform, margin {UNEVEN}"
    if not alike <= ALIKE:
        yield f"alike: MS-SSIM {_beside(scores, 'ms_ssim')}, margin {ALIKE}"
    if scores.get("covered", 0) < scores.get("modes", 0) and scores["high_quality"] >= FINE:
        yield f"modes: {scores['covered']:g} of {scores['modes']:g}"


def _poor(scores: Mapping[str, float]) -> Iterator[str]:
    score, real = scores.get("classifier_score", 1.0), scores.get("classifier_score_real", 1.0)
    if not score - 1 >= SHARE * (real - 1):
        yield f"score: {_beside(scores, 'classifier_score')}, expected {100 * SHARE:g} % of it above 1"
    if not scores.get("high_quality", 1.0) >= FINE:
        yield f"points: {100 * scores['high_quality']:.0f} % near a mode, expected {100 * FINE:g} %"


def _above(scores: Mapping[str, float], key: str) -> float:
    """How much a score is above that of real images; 0 where there is none."""
    value = scores.get(key, 0.0) - scores.get(f"{key}_real", 0.0)
    return math.inf if math.isnan(value) else value


def _beside(scores: Mapping[str, float], key: str) -> str:
    return f"{scores[key]:.3g}, real images {scores[f'{key}_real']:.3g}"
