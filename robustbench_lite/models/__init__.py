"""Classifiers: where they come from, one source per file; the zoo, its architectures, cards and recipes."""

from robustbench_lite.models._load import load

__all__ = ["load"]
