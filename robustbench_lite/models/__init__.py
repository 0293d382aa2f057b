"""Classifiers: where they come from, one source per file; the zoo, its architectures, cards and recipes."""

from robustbench_lite.models._load import load
from robustbench_lite.models.base import Card, Classifier, ModelSource, models

__all__ = ["Card", "Classifier", "ModelSource", "load", "models"]
