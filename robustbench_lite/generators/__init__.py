"""Generators of images and the critics that they are trained against: architectures, objectives, recipes, training."""

from robustbench_lite.generators._data import data_of, loaded
from robustbench_lite.generators.architecture import Architecture, architectures
from robustbench_lite.generators.card import Card
from robustbench_lite.generators.metrics.inception import inception_scores
from robustbench_lite.generators.mixture import Coverage, Mixture, mixtures
from robustbench_lite.generators.objective import Objective, objectives
from robustbench_lite.generators.recipe import Recipe
from robustbench_lite.generators.scores import Judge, scores_of
from robustbench_lite.generators.training import Training, trained
from robustbench_lite.generators.zoo import Generator, available, load

__all__ = [
    "Architecture",
    "Card",
    "Coverage",
    "Generator",
    "Judge",
    "Mixture",
    "Objective",
    "Recipe",
    "Training",
    "architectures",
    "available",
    "data_of",
    "inception_scores",
    "load",
    "loaded",
    "mixtures",
    "objectives",
    "scores_of",
    "trained",
]
