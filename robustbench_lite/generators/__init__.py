"""Generators of images and the critics that they are trained against: architectures, objectives, recipes, training."""

from robustbench_lite.generators.architecture import Architecture, architectures
from robustbench_lite.generators.mixture import Coverage, Mixture, mixtures
from robustbench_lite.generators.objective import Objective, objectives
from robustbench_lite.generators.recipe import Recipe, recipe, recipes
from robustbench_lite.generators.training import Training, trained

__all__ = [
    "Architecture",
    "Coverage",
    "Mixture",
    "Objective",
    "Recipe",
    "Training",
    "architectures",
    "mixtures",
    "objectives",
    "recipe",
    "recipes",
    "trained",
]
