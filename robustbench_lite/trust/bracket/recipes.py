"""What problems of the bracket are made of: kinds of them, and what an attack wants to be tried on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustbench_lite.threat.norms import Norm

__all__ = ["PICTURES", "QUICK", "RECIPES", "N", "Recipe", "Task"]

N = 24  # images of a problem


@dataclass(frozen=True)
class Recipe:
    """A kind of problem. `gap`: the median logit gap; `spread`: how much longer some gradients are than others."""

    images: Literal["grey", "corners", "digits"]
    classes: int
    gap: float
    spread: float = 1.0
    off: bool = False  # one class is switched off at -1e9
    dtype: str = "float32"
    plain: bool = False  # for attacks that take their time: the few that say most

    def __str__(self) -> str:
        count = "two centred classes" if self.classes == 2 else f"{self.classes} classes"
        logits = {1e-3: "tiny logits", 1e3: "saturated"}.get(self.gap, "")
        parts = (self.images, count, logits, "one off" * self.off, f"gradients x{self.spread:g}" * (self.spread > 1))
        return ", ".join([part for part in parts if part] + [self.dtype] * (self.dtype != "float32"))


RECIPES = (
    Recipe("grey", 2, 1e-3),
    Recipe("corners", 2, 3.0, plain=True),
    Recipe("digits", 2, 1e3),
    Recipe("corners", 10, 100.0, off=True),
    Recipe("digits", 10, 100.0, spread=100.0, plain=True),
    Recipe("corners", 10, 100.0, dtype="float64"),
    Recipe("corners", 2, 3.0, dtype="float16"),
    Recipe("corners", 2, 3.0, dtype="bfloat16"),
)
QUICK = RECIPES[1]  # one that binds the box and has but one boundary to try
PICTURES = Recipe("corners", 10, 10.0)  # textures of objects


@dataclass(frozen=True)
class Task:
    """What an attack wants to be tried on: a change of `size` in the norm must be enough, up to `factor`.

    `several`: many boundaries are about as near, else only one matters. `wrong`: some images are misclassified.
    """

    norm: Norm
    size: float | None  # null: of no particular size
    factor: float
    boxed: bool
    straight: bool
    rivals: int | None
    targeted: bool
    several: bool
    wrong: bool
    colour: bool
