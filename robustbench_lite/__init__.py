"""Benchmark and robustness evaluation of image classifiers: run, compare, gate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Results",
    "__version__",
    "attacks",
    "certify",
    "datasets",
    "defenses",
    "generators",
    "load",
    "models",
    "run",
    "sparse_coding",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from robustbench_lite import attacks, datasets, defenses, generators, models, sparse_coding
    from robustbench_lite.api import Results, certify, load, run

_ROOMS = ("attacks", "datasets", "defenses", "generators", "models", "sparse_coding")


def __getattr__(name: str) -> Any:
    """Everything on first use, so that importing the package stays cheap."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'robustbench_lite' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    return __all__
