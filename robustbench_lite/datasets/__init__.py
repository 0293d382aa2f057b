"""Data: where images and labels come from, one source per file; bundled samples."""

from robustbench_lite.datasets._load import load

__all__ = ["load"]
