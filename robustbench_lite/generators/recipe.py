"""Recipes: everything that decides what generator comes out of a training, one YAML file each in `recipes/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from robustbench_lite.errors import UsageError, problems_of
from robustbench_lite.generators.architecture import Architecture, architectures
from robustbench_lite.generators.mixture import Mixture, mixtures
from robustbench_lite.generators.objective import Objective, objectives
from robustbench_lite.models.recipe import content
from robustbench_lite.models.recipe import recipes as committed
from robustbench_lite.registry import Config, Number, Records, fingerprint

__all__ = ["Recipe", "built_architecture", "recipe", "recipes"]

RECIPES = Path(__file__).parent / "recipes"
C = TypeVar("C", bound=Config)
Entry = dict[str, dict[str, Any]]  # one name with its parameters


class Recipe(Config):
    """A training: two networks, what they minimise, on what, for how long."""

    name: str = Field(description="What the weights and the card are called.")
    architecture: Entry = Field(description="The pair of networks, {dcgan: {filters: 32}}.")
    objective: Entry = Field(description="What they minimise, and how, {wgan_gp: {}}.")
    size: tuple[PositiveInt, ...] = Field(description="Of an image, padded: channels, height, width; of a point: 2.")
    dataset: str = Field(description="What the images are called on the card.")
    train: tuple[dict[str, Any], ...] = Field((), description="Data sources, joined.")
    test: dict[str, Any] | None = Field(None, description="Images that generated ones are compared with.")
    points: Entry = Field({}, description="A mixture in the plane in the place of images, {ring: {modes: 8}}.")
    pad: NonNegativeInt = Field(0, description="Black pixels around every image, which classifiers do not see.")
    judge: str = Field("", description="Classifier of the zoo by which generated images are scored.")
    steps: PositiveInt = Field(description="Of the generator.")
    batch_size: PositiveInt = Field(64, description="Images per step of either network.")
    average: Number = Field(
        0.0, ge=0, lt=1, description="Decay of the running mean of weights that is kept; 0: the last ones are."
    )
    anneal: Number = Field(
        0.0, ge=0, lt=1, description="Share of the steps, at the end, in which step sizes fall to zero."
    )
    log_every: PositiveInt = Field(50, description="Steps of the generator from one row of losses to the next.")
    save_every: PositiveInt = Field(500, description="Steps of the generator from one checkpoint to the next.")
    seed: int = Field(0, description="Of weights, latents and the order of images.")

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if bool(self.train) == bool(self.points):
            raise ValueError("train: expected either images (train) or a mixture (points)")
        if self.judge and self.test is None:
            raise ValueError("judge: expected test images to score beside, got none")
        return self

    @property
    def nets(self) -> Architecture:
        """The architecture as it is built. Raises SuiteError."""
        return built_architecture(self.architecture)

    @property
    def game(self) -> Objective:
        """The objective as it is built. Raises SuiteError."""
        return _built(objectives, self.objective, "objective")

    @property
    def mixture(self) -> Mixture | None:
        """What points are drawn from; None: images are trained on. Raises SuiteError."""
        return _built(mixtures, self.points, "points") if self.points else None

    @property
    def hash(self) -> str:
        """Of what the recipe's file says; a new option with a default changes no old recipe."""
        return fingerprint(self.model_dump(mode="json", exclude_unset=True))


def built_architecture(entry: Entry) -> Architecture:
    """What an entry {dcgan: {filters: 32}} means. Raises UsageError."""
    return _built(architectures, entry, "architecture")


def _built(registry: Records[C], entry: Entry, key: str) -> C:
    if len(entry) != 1:
        raise UsageError(f"recipe: {key}: expected one {{name: parameters}}, got {entry}")
    ((name, params),) = entry.items()
    return registry.build(name, params, f"recipe: {key}")


def recipes() -> list[str]:
    """Names of the committed recipes."""
    return committed(RECIPES)


def recipe(name: str | Path) -> Recipe:
    """The recipe called `name`, or in a file. Raises UsageError."""
    said = content(name, RECIPES)
    try:
        return Recipe(**said)
    except ValidationError as error:
        sentences = "; ".join(sentence for _, sentence in problems_of(error, Recipe))
        raise UsageError(f"recipe {name}: {sentences}") from None
