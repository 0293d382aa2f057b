"""What a generator says of itself: what made it, how long that took, how good its images are and by whose judgement."""

from __future__ import annotations

from typing import Any

from pydantic import NonNegativeFloat, PositiveInt

from robustbench_lite.registry import Config, Number

__all__ = ["Card"]


class Card(Config):
    """Of a generator with weights."""

    name: str
    architecture: dict[str, dict[str, Any]]
    objective: dict[str, dict[str, Any]]
    size: tuple[PositiveInt, ...]
    dataset: str
    steps: PositiveInt  # of the generator
    seconds: NonNegativeFloat  # of training
    classifier: str = ""  # of the zoo, by which the scores are taken that need one
    scores: dict[str, Number] = {}
    licence: str = ""
    source: str = ""  # the recipe that made it
    sha256: str = ""  # of the weights file
