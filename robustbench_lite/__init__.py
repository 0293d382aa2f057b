"""Benchmark and robustness evaluation of image classifiers: run, compare, gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Results", "__version__", "load", "run"]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results
    from robustbench_lite.results.store import read as load
    from robustbench_lite.runner.run import run

_HOME = {"run": ("runner.run", "run"), "load": ("results.store", "read"), "Results": ("results.store", "Results")}


def __getattr__(name: str) -> Any:
    """`run`, `load` and `Results` on first use, so that importing the package stays cheap."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'robustbench_lite' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(f"robustbench_lite.{module}"), attribute)
