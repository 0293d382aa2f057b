"""Data: where images and labels come from, one source per file; bundled samples."""

from robustbench_lite.datasets._load import load
from robustbench_lite.datasets.base import DataSource, Samples, datasets

__all__ = ["DataSource", "Samples", "datasets", "load"]
